// Registers that both families have at the same offsets, and their bits: data sheets of the 82574 (chapter 10) and of the
// 82576 (chapter 8), whose names these are. Offsets in BAR 0, each register 32 bits wide. Data only.

export const PCI_VENDOR_INTEL = 0x8086;

export const E1000_CTRL = 0x0000;
export const E1000_STATUS = 0x0008;
export const E1000_EECD = 0x0010;
export const E1000_CTRL_EXT = 0x0018;
export const E1000_MDIC = 0x0020;
export const E1000_ICR = 0x00c0;
export const E1000_IMS = 0x00d0;
export const E1000_IMC = 0x00d8;
export const E1000_RCTL = 0x0100;
export const E1000_TCTL = 0x0400;
export const E1000_RXCSUM = 0x5000;
export const E1000_RFCTL = 0x5008;
/** 128 words. */
export const E1000_MTA = 0x5200;
export const E1000_MTA_LENGTH = 128;
/** Receive addresses: RAL, then RAH, 8 bytes for each entry. */
export const E1000_RAL = 0x5400;
export const E1000_RAH = 0x5404;
export const E1000_GCR = 0x5b00;

/** Of PCIe: no new requests by the device. */
export const E1000_CTRL_GIO_MASTER_DISABLE = 1 << 2;
export const E1000_CTRL_ASDE = 1 << 5;
export const E1000_CTRL_SLU = 1 << 6;
export const E1000_CTRL_FRCSPD = 1 << 11;
export const E1000_CTRL_FRCDPX = 1 << 12;
export const E1000_CTRL_RST = 1 << 26;
export const E1000_CTRL_RFCE = 1 << 27;
export const E1000_CTRL_TFCE = 1 << 28;
export const E1000_CTRL_VME = 1 << 30;

export const E1000_STATUS_FD = 1 << 0;
export const E1000_STATUS_LU = 1 << 1;
export const E1000_STATUS_SPEED_MASK = 3 << 6;
export const E1000_STATUS_SPEED_SHIFT = 6;
export const E1000_STATUS_GIO_MASTER_ENABLE = 1 << 19;

/** The NVM was read after a reset: addresses and defaults are there. */
export const E1000_EECD_AUTO_RD = 1 << 9;

export const E1000_CTRL_EXT_DRV_LOAD = 1 << 28;
export const E1000_CTRL_EXT_PBA_CLR = 1 << 31;

export const E1000_MDIC_REG_SHIFT = 16;
/** The PHY inside both has address 1. */
export const E1000_MDIC_PHY_1 = 1 << 21;
export const E1000_MDIC_OP_WRITE = 1 << 26;
export const E1000_MDIC_OP_READ = 2 << 26;
export const E1000_MDIC_READY = 1 << 28;
export const E1000_MDIC_ERROR = 1 << 30;

export const E1000_ICR_LSC = 1 << 2;
/** Receive timer on the 82574, a written-back receive descriptor (RXDW) on the 82576. */
export const E1000_ICR_RXT0 = 1 << 7;

export const E1000_RCTL_EN = 1 << 1;
export const E1000_RCTL_UPE = 1 << 3;
export const E1000_RCTL_MPE = 1 << 4;
export const E1000_RCTL_LPE = 1 << 5;
export const E1000_RCTL_BAM = 1 << 15;
/** Buffers of 2048 bytes; with BSEX the same two bits mean 4096 when both are set. */
export const E1000_RCTL_SZ_2048 = 0;
export const E1000_RCTL_SZ_4096 = (3 << 16) | (1 << 25);
export const E1000_RCTL_SECRC = 1 << 26;

export const E1000_TCTL_EN = 1 << 1;
/** Pads short frames to 64 bytes. */
export const E1000_TCTL_PSP = 1 << 3;
/** Collision threshold 15 and distance 63, the data sheets' values for Ethernet. */
export const E1000_TCTL_CT_15 = 15 << 4;
export const E1000_TCTL_COLD_63 = 63 << 12;
export const E1000_TCTL_RTLC = 1 << 24;

export const E1000_RXCSUM_IPOFL = 1 << 8;
export const E1000_RXCSUM_TUOFL = 1 << 9;
/** No packet checksum in the descriptor, whose place the RSS hash takes. */
export const E1000_RXCSUM_PCSD = 1 << 13;

export const E1000_RAH_AV = 1 << 31;

/** IEEE 802.3 22.2.4.1: the PHY's control register. */
export const MII_BMCR = 0;
export const BMCR_ANRESTART = 1 << 9;
export const BMCR_PDOWN = 1 << 11;
export const BMCR_ANENABLE = 1 << 12;
