// linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h (linux-libc-dev 6.1): what is asked and changed of a network device and
// of its addresses by netlink.

export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINKINFO = 18;
export const IFLA_NET_NS_FD = 28;

/** Inside IFLA_LINKINFO. */
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;

/** Inside IFLA_INFO_DATA of kind "tun". */
export const IFLA_TUN_TYPE = 3;
export const IFLA_TUN_PERSIST = 6;
export const IFLA_TUN_MULTI_QUEUE = 7;
export const IFLA_TUN_NUM_QUEUES = 8;
export const IFLA_TUN_NUM_DISABLED_QUEUES = 9;

export const struct_ifinfomsg = {
  size: 16,
  fields: { ifi_family: [0, 1], ifi_type: [2, 2], ifi_index: [4, 4], ifi_flags: [8, 4], ifi_change: [12, 4] },
} as const;

export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;

export const struct_ifaddrmsg = {
  size: 8,
  fields: { ifa_family: [0, 1], ifa_prefixlen: [1, 1], ifa_flags: [2, 1], ifa_scope: [3, 1], ifa_index: [4, 4] },
} as const;
