/*
 * UDP segmentation on TAP devices, for kernel headers older than Linux 6.2: a second declaration beside src/uapi/if_tun.ts,
 * from that kernel's include/uapi/linux/if_tun.h. Newer headers have the names themselves and win.
 */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20 /* "I can handle USO for IPv4 packets" */
#define TUN_F_USO6 0x40 /* "I can handle USO for IPv6 packets" */
#endif
