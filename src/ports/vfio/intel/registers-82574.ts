// Registers of the 82574L only (data sheet chapter 10), and bits that its specification update wants set: the Linux driver's
// and DPDK's base code (e1000_initialize_hw_bits_82571) set the same. Offsets in BAR 0. Data only.

export const PCI_DEVICE_82574L = 0x10d3;

export const E1000_ITR = 0x00c4;
export const E1000_EIAC_82574 = 0x00dc;
export const E1000_IAM = 0x00e0;
export const E1000_IVAR = 0x00e4;
/** One for each MSI-X vector, in units of 256 ns. */
export const E1000_EITR_82574 = 0x00e8;
export const E1000_RDBAL = 0x2800;
export const E1000_RDBAH = 0x2804;
export const E1000_RDLEN = 0x2808;
export const E1000_RDH = 0x2810;
export const E1000_RDT = 0x2818;
export const E1000_RDTR = 0x2820;
export const E1000_RXDCTL = 0x2828;
export const E1000_RADV = 0x282c;
export const E1000_TDBAL = 0x3800;
export const E1000_TDBAH = 0x3804;
export const E1000_TDLEN = 0x3808;
export const E1000_TDH = 0x3810;
export const E1000_TDT = 0x3818;
export const E1000_TXDCTL = 0x3828;
export const E1000_TXDCTL1 = 0x3928;
export const E1000_TARC0 = 0x3840;
export const E1000_GCR2 = 0x5b64;

export const E1000_ICR_RXQ0 = 1 << 20;
export const E1000_ICR_OTHER = 1 << 24;

/** IVAR: four bits for each cause, the vector and a valid bit. */
export const E1000_IVAR_VALID_82574 = 8;
export const E1000_IVAR_RXQ0_SHIFT = 0;
export const E1000_IVAR_OTHER_SHIFT = 16;

/** Thresholds count descriptors, not cache lines. */
export const E1000_RXDCTL_GRAN = 1 << 24;
export const E1000_TXDCTL_GRAN = 1 << 24;
export const E1000_TXDCTL_COUNT_DESC = 1 << 22;
export const E1000_TARC0_ENABLE = 1 << 10;

/** No accelerated interrupts for TCP acknowledgements; extended receive descriptors. */
export const E1000_RFCTL_ACK_DIS = 1 << 12;
export const E1000_RFCTL_EXTEN = 1 << 15;

// What the specification update says about reserved bits.
export const CTRL_CLEAR_82574 = 1 << 29;
export const CTRL_EXT_CLEAR_82574 = 1 << 23;
export const CTRL_EXT_SET_82574 = 1 << 22;
export const TARC0_CLEAR_82574 = 0xf << 27;
export const TARC0_SET_82574 = 1 << 26;
export const GCR_SET_82574 = 1 << 22;
export const GCR2_SET_82574 = 1 << 0;
