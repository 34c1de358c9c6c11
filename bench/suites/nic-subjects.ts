// Names that both halves of the NIC suite use.

/** With FCS. */
export const FRAME_SIZES = [64, 1518] as const;

export const framesOf = (model: string, size: number) => `${model}, ${size} B frames`;
export const pingOf = (model: string) => `${model}, ping, median`;
