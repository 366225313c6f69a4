/** Appends, reads, follows and is refused; throws unless all of it is as it should be. */
export function useChronicle(chronicle: typeof import('@sage/chronicle')): Promise<void>;
