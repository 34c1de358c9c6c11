// A device on the vDPA bus as its user drives it through /dev/vhost-vdpa-N: the calls that QEMU makes, each as a method. All
// of them wait in the kernel until whoever serves the device has answered, so that has to be another process.
//
//   const device = new VhostVdpa("/dev/vhost-vdpa-0");
//   device.map(iova, size, address);  device.setFeatures(bits);  device.setStatus(...);  device.close();
//
// Addresses of rings and buffers are IOVAs; memory is what of ours is a shared mapping of a file. Main thread of a test process.

import { check } from "../../src/sys/errno.ts";
import { closeFd, ioctl, ioctlValue, O_RDWR, openFd, writeAt } from "../../src/sys/fd.ts";
import { mapAnonymous, PAGE_SIZE, unmap, viewOf } from "../../src/sys/memory.ts";
import * as vhost from "./vhost-vdpa-abi.ts";

const BACKEND_FEATURES = [vhost.VHOST_BACKEND_F_IOTLB_MSG_V2, vhost.VHOST_BACKEND_F_IOTLB_BATCH];

export interface VringAddress {
  desc: number;
  avail: number;
  used: number;
}

export class VhostVdpa {
  readonly fd: number;
  private readonly scratch = mapAnonymous(PAGE_SIZE);
  private readonly message = new DataView(viewOf(this.scratch, 0, vhost.struct_vhost_msg_v2.size));

  /** Takes the device; one process at a time may. The kernel resets it. Throws SysError. */
  constructor(path: string) {
    this.fd = openFd(path, O_RDWR);
    ioctlValue(this.fd, vhost.VHOST_SET_OWNER, 0, "VHOST_SET_OWNER");
    const offered = this.get64(vhost.VHOST_GET_BACKEND_FEATURES, "VHOST_GET_BACKEND_FEATURES");
    const wanted = BACKEND_FEATURES.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    if ((offered & wanted) !== wanted) throw new Error(`${path} lacks backend features: 0x${offered.toString(16)}`);
    this.set64(vhost.VHOST_SET_BACKEND_FEATURES, wanted, "VHOST_SET_BACKEND_FEATURES");
  }

  private get64(request: number, what: string): bigint {
    const word = new BigUint64Array(1);
    ioctl(this.fd, request, word, what);
    return word[0];
  }

  private set64(request: number, value: bigint, what: string): void {
    ioctl(this.fd, request, new BigUint64Array([value]), what);
  }

  /** The features the device offers. */
  features(): bigint {
    return this.get64(vhost.VHOST_GET_FEATURES, "VHOST_GET_FEATURES");
  }

  setFeatures(features: bigint): void {
    this.set64(vhost.VHOST_SET_FEATURES, features, "VHOST_SET_FEATURES");
  }

  status(): number {
    const status = new Uint8Array(1);
    ioctl(this.fd, vhost.VHOST_VDPA_GET_STATUS, status, "VHOST_VDPA_GET_STATUS");
    return status[0];
  }

  /** VIRTIO_CONFIG_S_*; 0 resets. */
  setStatus(status: number): void {
    ioctl(this.fd, vhost.VHOST_VDPA_SET_STATUS, Uint8Array.of(status), `VHOST_VDPA_SET_STATUS ${status}`);
  }

  /** Largest ring the device takes. */
  maxQueueSize(): number {
    const size = new Uint16Array(1);
    ioctl(this.fd, vhost.VHOST_VDPA_GET_VRING_NUM, size, "VHOST_VDPA_GET_VRING_NUM");
    return size[0];
  }

  queueCount(): number {
    const count = new Uint32Array(1);
    ioctl(this.fd, vhost.VHOST_VDPA_GET_VQS_COUNT, count, "VHOST_VDPA_GET_VQS_COUNT");
    return count[0];
  }

  private vring(request: number, index: number, value: number, what: string): number {
    // struct vhost_vring_state and struct vhost_vring_file alike.
    const state = new Int32Array([index, value]);
    ioctl(this.fd, request, state, `${what} of queue ${index}`);
    return state[1];
  }

  setVringNum(index: number, size: number): void {
    this.vring(vhost.VHOST_SET_VRING_NUM, index, size, "VHOST_SET_VRING_NUM");
  }

  setVringBase(index: number, base: number): void {
    this.vring(vhost.VHOST_SET_VRING_BASE, index, base, "VHOST_SET_VRING_BASE");
  }

  /** Where the device stands in a ring: its next avail entry. */
  vringBase(index: number): number {
    return this.vring(vhost.VHOST_GET_VRING_BASE, index, 0, "VHOST_GET_VRING_BASE");
  }

  setVringKick(index: number, eventFd: number): void {
    this.vring(vhost.VHOST_SET_VRING_KICK, index, eventFd, "VHOST_SET_VRING_KICK");
  }

  setVringCall(index: number, eventFd: number): void {
    this.vring(vhost.VHOST_SET_VRING_CALL, index, eventFd, "VHOST_SET_VRING_CALL");
  }

  enableVring(index: number, on: boolean): void {
    this.vring(vhost.VHOST_VDPA_SET_VRING_ENABLE, index, on ? 1 : 0, "VHOST_VDPA_SET_VRING_ENABLE");
  }

  setVringAddress(index: number, { desc, avail, used }: VringAddress): void {
    const { size, fields } = vhost.struct_vhost_vring_addr;
    const address = new DataView(new ArrayBuffer(size));
    address.setUint32(fields.index[0], index, true);
    address.setBigUint64(fields.desc_user_addr[0], BigInt(desc), true);
    address.setBigUint64(fields.used_user_addr[0], BigInt(used), true);
    address.setBigUint64(fields.avail_user_addr[0], BigInt(avail), true);
    ioctl(this.fd, vhost.VHOST_SET_VRING_ADDR, new Uint8Array(address.buffer), `VHOST_SET_VRING_ADDR ${index}`);
  }

  /** `length` bytes of the configuration space. */
  config(offset: number, length: number): Uint8Array {
    const { size, fields } = vhost.struct_vhost_vdpa_config;
    const config = new Uint8Array(size + length);
    const view = new DataView(config.buffer);
    view.setUint32(fields.off[0], offset, true);
    view.setUint32(fields.len[0], length, true);
    ioctl(this.fd, vhost.VHOST_VDPA_GET_CONFIG, config, "VHOST_VDPA_GET_CONFIG");
    return config.slice(size);
  }

  /** This eventfd is signalled when the configuration space has changed. */
  setConfigCall(eventFd: number): void {
    ioctl(this.fd, vhost.VHOST_VDPA_SET_CONFIG_CALL, new Int32Array([eventFd]), "VHOST_VDPA_SET_CONFIG_CALL");
  }

  /** Gives the device `size` bytes of ours at `address`, under the name `iova`. All are whole pages. */
  map(iova: number, size: number, address: number, perm: number = vhost.VHOST_ACCESS_RW): void {
    this.iotlb(vhost.VHOST_IOTLB_UPDATE, iova, size, address, perm);
  }

  /** Takes memory back: when this returns, the device touches it no more. */
  unmap(iova: number, size: number): void {
    this.iotlb(vhost.VHOST_IOTLB_INVALIDATE, iova, size, 0, 0);
  }

  /** The changes that `change` makes reach the device as one. */
  batch(change: () => void): void {
    this.iotlb(vhost.VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0, 0);
    change();
    this.iotlb(vhost.VHOST_IOTLB_BATCH_END, 0, 0, 0, 0);
  }

  private iotlb(type: number, iova: number, size: number, address: number, perm: number): void {
    const { size: bytes, fields } = vhost.struct_vhost_msg_v2;
    const { message } = this;
    message.setUint32(fields.type[0], vhost.VHOST_IOTLB_MSG_V2, true);
    message.setBigUint64(fields["iotlb.iova"][0], BigInt(iova), true);
    message.setBigUint64(fields["iotlb.size"][0], BigInt(size), true);
    message.setBigUint64(fields["iotlb.uaddr"][0], BigInt(address), true);
    message.setUint8(fields["iotlb.perm"][0], perm);
    message.setUint8(fields["iotlb.type"][0], type);
    check(writeAt(this.fd, this.scratch, bytes), "write", `IOTLB message ${type} for 0x${iova.toString(16)}`);
  }

  /** Lets the device go; the kernel resets it, and waits for the answer to that. */
  close(): void {
    closeFd(this.fd);
    unmap(this.scratch, PAGE_SIZE);
  }
}
