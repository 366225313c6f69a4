// A star, not a list: an augmentation of `ChronicleEventMap` merges through a star only.
export * from './index.js';
