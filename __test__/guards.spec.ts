import { describe, expect, it } from 'vitest';
import * as chronicle from '../index.mjs';
import { event } from './support.js';

const required: Record<string, string[]> = {
  PLAN_DRAFTED: ['planId', 'summary', 'steps'],
  PLAN_APPROVED: ['planId', 'reviewerId', 'justification'],
  PLAN_DENIED: ['planId', 'reviewerId', 'reason'],
  PLAN_UNSAFE: ['planId', 'forcedBy', 'overriddenWarnings'],
  HALT_AND_REPORT: ['invariant', 'expected', 'actual'],
  RECONCILIATION: ['filePath', 'diffRef', 'reconciliationStrategy'],
  ROGUE_EDIT_DETECTED: ['filePath', 'hash', 'detectedBy'],
  BUILD: ['status'],
  DEPLOY: ['environment', 'deploymentId', 'status'],
  ENVVAR_CHANGE: ['variable', 'environment', 'operation'],
  POSTMORTEM: ['incidentId', 'title', 'rootCause', 'actionItems'],
  FILE_ADDED: ['filePath', 'hash', 'size'],
  FILE_REMOVED: ['filePath', 'lastHash'],
  FILE_RENAMED: ['oldPath', 'newPath', 'hash'],
  FILE_SPLIT: ['originalPath', 'resultingPaths', 'originalHash', 'strategy'],
  FILE_MERGED: ['sourcePaths', 'resultPath', 'resultHash', 'strategy'],
};

/** `PLAN_DRAFTED` -> `isPlanDraftedEvent`. */
function guardOf(type: string): (value: unknown) => boolean {
  const words = type.split('_').map((word) => word[0] + word.slice(1).toLowerCase());
  return (chronicle as unknown as Record<string, (value: unknown) => boolean>)[
    `is${words.join('')}Event`
  ]!;
}

/** An event with every required field there; `undefined` counts, the values are not looked at. */
function whole(type: string): Record<string, unknown> {
  return {
    ...event(),
    type,
    ...Object.fromEntries(required[type]!.map((name) => [name, undefined])),
  };
}

describe('the sixteen guards', () => {
  it('are all there and nothing else looks like one', () => {
    const alike = Object.keys(chronicle).filter((name) => /^is\w+Event$/.test(name));
    // It looks into a file.
    const guards = alike.filter((name) => name !== 'isDuplicateEvent');
    expect(guards).toHaveLength(16);
    expect(Object.keys(required)).toHaveLength(16);
  });

  it.each(Object.keys(required))('for %s wants the type and every required field', (type) => {
    const guard = guardOf(type);
    expect(guard(whole(type))).toBe(true);
    expect(guard({ ...whole(type), more: 1 })).toBe(true);
    for (const name of required[type]!) {
      const { [name]: _, ...rest } = whole(type);
      expect(guard(rest), `without ${name}`).toBe(false);
    }
    for (const other of Object.keys(required)) {
      if (other !== type)
        expect(guard({ ...whole(other), ...whole(type), type: other })).toBe(false);
    }
  });

  it('take unknown values', () => {
    for (const type of Object.keys(required)) {
      for (const value of [undefined, null, 0, 'BUILD', [], {}, () => {}, Symbol('s')]) {
        expect(guardOf(type)(value)).toBe(false);
      }
    }
  });
});

describe('isEvent', () => {
  it('compares the type, of anything', () => {
    expect(chronicle.isEvent({ type: 'STEP', n: 1 }, 'STEP')).toBe(true);
    expect(chronicle.isEvent({ type: 'STEP' }, 'BUILD')).toBe(false);
    for (const value of [null, undefined, 5, 'STEP', [], {}])
      expect(chronicle.isEvent(value, 'STEP')).toBe(false);
  });
});
