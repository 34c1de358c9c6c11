// Registers of the 82576 only (data sheet chapter 8). Offsets in BAR 0; queue n's are n times 0x40 further, a vector's
// throttle four bytes for each vector. Data only.

export const PCI_DEVICE_82576 = 0x10c9;

export const QUEUE_STRIDE = 0x40;

export const E1000_GPIE = 0x1514;
export const E1000_EIMS = 0x1524;
export const E1000_EIMC = 0x1528;
export const E1000_EIAC = 0x152c;
export const E1000_EICR = 0x1580;
export const E1000_EITR = 0x1680;
export const E1000_IVAR0 = 0x1700;
export const E1000_IVAR_MISC = 0x1740;
/** Longest frame with LPE, FCS included. */
export const E1000_RLPML = 0x5004;
export const E1000_MRQC = 0x5818;
/** 128 entries of 8 bits. */
export const E1000_RETA = 0x5c00;
export const E1000_RETA_SIZE = 128;
export const E1000_RSSRK = 0x5c80;
export const E1000_RSSRK_SIZE = 40;

export const E1000_RDBAL = 0xc000;
export const E1000_RDBAH = 0xc004;
export const E1000_RDLEN = 0xc008;
export const E1000_SRRCTL = 0xc00c;
export const E1000_RDH = 0xc010;
export const E1000_RDT = 0xc018;
export const E1000_RXDCTL = 0xc028;
export const E1000_TDBAL = 0xe000;
export const E1000_TDBAH = 0xe004;
export const E1000_TDLEN = 0xe008;
export const E1000_TDH = 0xe010;
export const E1000_TDT = 0xe018;
export const E1000_TXDCTL = 0xe028;
/** Bit 0 would make the device write its head to memory; we look at DD. */
export const E1000_TDWBAL = 0xe038;

export const E1000_GPIE_NSICR = 1 << 0;
export const E1000_GPIE_MSIX_MODE = 1 << 4;
export const E1000_GPIE_PBA = 1 << 31;

/** Eight bits for each cause, the vector and a valid bit. */
export const E1000_IVAR_VALID = 0x80;
export const E1000_IVAR_MISC_OTHER_SHIFT = 8;

/** Microseconds in bits 14:2; writing does not restart the count. */
export const E1000_EITR_INTERVAL_SHIFT = 2;
export const E1000_EITR_CNT_IGNR = 1 << 31;

export const E1000_SRRCTL_BSIZEPKT_SHIFT = 10;
export const E1000_SRRCTL_DESCTYPE_ADV_ONEBUF = 1 << 25;
/** A queue without buffers drops, instead of holding up the others. */
export const E1000_SRRCTL_DROP_EN = 1 << 31;
export const E1000_XDCTL_QUEUE_ENABLE = 1 << 25;

export const E1000_MRQC_ENABLE_RSS = 2;
/** TCP and addresses, of IPv4 and IPv6. Not UDP: fragments have no ports and would overtake. */
export const E1000_MRQC_FIELDS = (1 << 16) | (1 << 17) | (1 << 18) | (1 << 20) | (1 << 21);
