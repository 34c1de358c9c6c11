// linux/if_tun.h, linux/if.h (linux-libc-dev 6.1; what Linux 6.2 added stands in test/uapi too): TAP devices.

export const TUNSETIFF = 0x400454ca;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;
export const TUNSETCARRIER = 0x400454e2;
export const TUNGETIFF = 0x800454d2;
/** Since Linux 5.2; returns a descriptor of the device's namespace. */
export const TUNGETDEVNETNS = 0x54e3;

export const IFF_TAP = 0x0002;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const IFF_MULTI_QUEUE = 0x0100;
export const IFF_TUN_EXCL = 0x8000;

export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
/** Since Linux 6.2, and only together (drivers/net/tun.c, set_offload). */
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

export const IFNAMSIZ = 16;
export const IFF_UP = 0x1;

export const struct_ifreq = {
  size: 40,
  fields: { ifr_name: [0, 16], ifr_flags: [16, 2] },
} as const;
