// PCI configuration space, as much of it as ringyard looks at: linux/pci_regs.h. Offsets in bytes; a register's bits follow it.

// the header
export const PCI_CFG_SPACE_SIZE = 0x100;
export const PCI_CFG_SPACE_EXP_SIZE = 0x1000;
export const PCI_VENDOR_ID = 0x0;
export const PCI_DEVICE_ID = 0x2;
export const PCI_COMMAND = 0x4;
export const PCI_COMMAND_IO = 0x1;
export const PCI_COMMAND_MEMORY = 0x2;
export const PCI_COMMAND_MASTER = 0x4;
export const PCI_COMMAND_INTX_DISABLE = 0x400;
export const PCI_STATUS = 0x6;
export const PCI_STATUS_INTERRUPT = 0x8;
export const PCI_STATUS_CAP_LIST = 0x10;
export const PCI_CLASS_REVISION = 0x8;
export const PCI_REVISION_ID = 0x8;
export const PCI_CLASS_PROG = 0x9;
export const PCI_CLASS_DEVICE = 0xa;
export const PCI_HEADER_TYPE = 0xe;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_BASE_ADDRESS_5 = 0x24;
export const PCI_BASE_ADDRESS_SPACE_IO = 0x1;
export const PCI_BASE_ADDRESS_MEM_TYPE_MASK = 0x6;
export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x4;
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_SUBSYSTEM_ID = 0x2e;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

// capabilities: a list of (id, next)
export const PCI_STD_HEADER_SIZEOF = 0x40;
export const PCI_CAP_LIST_ID = 0x0;
export const PCI_CAP_LIST_NEXT = 0x1;
export const PCI_CAP_SIZEOF = 0x4;
export const PCI_CAP_ID_PM = 0x1;
export const PCI_CAP_ID_MSI = 0x5;
export const PCI_CAP_ID_VNDR = 0x9;
export const PCI_CAP_ID_EXP = 0x10;
export const PCI_CAP_ID_MSIX = 0x11;
export const PCI_CAP_ID_AF = 0x13;

// MSI-X
export const PCI_MSIX_FLAGS = 0x2;
export const PCI_MSIX_FLAGS_QSIZE = 0x7ff;
export const PCI_MSIX_FLAGS_ENABLE = 0x8000;
export const PCI_MSIX_TABLE = 0x4;
export const PCI_MSIX_TABLE_BIR = 0x7;
export const PCI_MSIX_TABLE_OFFSET = 0xfffffff8;
export const PCI_MSIX_PBA = 0x8;

// PCI Express
export const PCI_EXP_DEVCAP = 0x4;
export const PCI_EXP_DEVCAP_FLR = 0x10000000;
export const PCI_EXP_DEVCTL = 0x8;
export const PCI_EXP_LNKSTA = 0x12;
export const PCI_EXP_LNKSTA_CLS = 0xf;
export const PCI_EXP_LNKSTA_NLW = 0x3f0;
