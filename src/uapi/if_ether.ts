// linux/if_ether.h: Ethernet, as much of it as headers are read for.

export const ETH_ALEN = 6;
export const ETH_HLEN = 14;

export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_8021Q = 0x8100;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_8021AD = 0x88a8;
