// linux/genetlink.h (linux-libc-dev 6.1): generic netlink, where subsystems without a protocol of their own live as named
// families; the controller tells a family's number.

export const GENL_ID_CTRL = 16;
export const CTRL_CMD_GETFAMILY = 3;
export const CTRL_ATTR_FAMILY_ID = 1;
export const CTRL_ATTR_FAMILY_NAME = 2;

export const struct_genlmsghdr = { size: 4, fields: { cmd: [0, 1], version: [1, 1], reserved: [2, 2] } } as const;
