/*
 * UDP segmentation, for kernel headers older than Linux 6.2: a second declaration beside src/uapi/virtio_net.ts, written from
 * virtio 1.3, 5.1.3 "Feature bits" and 5.1.6 "Device Operation". Newer headers have the names themselves and win.
 */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54 /* "Driver can receive USOv4 packets." */
#define VIRTIO_NET_F_GUEST_USO6 55 /* "Driver can receive USOv6 packets." */
#define VIRTIO_NET_F_HOST_USO 56   /* "Device can receive USO packets." */
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
