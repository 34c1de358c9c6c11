// linux/if_arp.h: hardware types of ARP (RFC 826).

export const ARPHRD_ETHER = 1;
