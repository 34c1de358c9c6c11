// The loads at which round trips are timed: at idle, one frame at a time and a switch that had time to fall asleep, and shares of the most
// that the same switch did in the same run.

export const LOADS = [
  { load: "idle", share: 0 },
  { load: "10 % load", share: 0.1 },
  { load: "50 % load", share: 0.5 },
  { load: "90 % load", share: 0.9 },
] as const;
