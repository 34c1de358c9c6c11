// /dev/vduse/control: which API the kernel speaks, and devices made and destroyed. Features are probed, never assumed from a
// kernel version: what the kernel refuses is asked for once less. Control thread only.

import { writeFileSync } from "node:fs";
import { RingyardError } from "../../core/errors.ts";
import { EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENXIO, EPERM, SysError } from "../../sys/errno.ts";
import { closeFd, ioctl, O_NONBLOCK, O_RDWR, openFd } from "../../sys/fd.ts";
import {
  struct_vduse_dev_config,
  VDUSE_API_VERSION,
  VDUSE_API_VERSION_1,
  VDUSE_CREATE_DEV,
  VDUSE_DESTROY_DEV,
  VDUSE_F_QUEUE_READY,
  VDUSE_F_SUSPEND,
  VDUSE_GET_FEATURES,
  VDUSE_NAME_MAX,
  VDUSE_SET_API_VERSION,
  VDUSE_SET_FEATURES,
} from "../../uapi/vduse.ts";
import { VIRTIO_ID_NET } from "../../uapi/virtio_net.ts";
import type { Features } from "../../virtio/features.ts";

const CONTROL_PATH = "/dev/vduse/control";
/** "ryrd": by this vendor id on the vDPA bus ringyard knows its devices again. */
export const VENDOR_ID = 0x72797264;
/** Rings are aligned to pages: the kernel's driver maps them so anyhow. */
const QUEUE_ALIGN = 4096;

export interface DeviceRequest {
  name: string;
  features: Features;
  queues: number;
  config: Uint8Array;
}

/** An open control device that speaks the newest API version both sides know. */
export class VduseControl {
  private constructor(
    private readonly fd: number,
    readonly apiVersion: number,
    /** VDUSE_F_* bits that devices made from here have (7.3 and later). */
    readonly vduseFeatures: number,
  ) {}

  /** Throws RingyardError where VDUSE is not to be had. */
  static open(): VduseControl {
    let fd = -1;
    try {
      fd = openFd(CONTROL_PATH, O_RDWR);
      const apiVersion = agree(fd, VDUSE_API_VERSION_1) ? VDUSE_API_VERSION_1 : VDUSE_API_VERSION;
      if (apiVersion === VDUSE_API_VERSION) agree(fd, VDUSE_API_VERSION);
      return new VduseControl(fd, apiVersion, agreeFeatures(fd));
    } catch (error) {
      closeFd(fd);
      throw explainControl(error);
    }
  }

  /** Makes a device; "exists" where one of that name is there, "refused" where the kernel does not take it so. */
  create({ name, features, queues, config }: DeviceRequest): "made" | "exists" | "refused" {
    const { size, fields } = struct_vduse_dev_config;
    const request = new Uint8Array(size + config.length);
    const view = new DataView(request.buffer);
    new TextEncoder().encodeInto(name, request.subarray(fields.name[0], fields.name[0] + VDUSE_NAME_MAX - 1));
    view.setUint32(fields.vendor_id[0], VENDOR_ID, true);
    view.setUint32(fields.device_id[0], VIRTIO_ID_NET, true);
    view.setUint32(fields.features[0], features.lo, true);
    view.setUint32(fields.features[0] + 4, features.hi, true);
    view.setUint32(fields.vq_num[0], queues, true);
    view.setUint32(fields.vq_align[0], QUEUE_ALIGN, true);
    if (this.apiVersion >= VDUSE_API_VERSION_1) {
      view.setUint32(fields.ngroups[0], 1, true);
      view.setUint32(fields.nas[0], 1, true);
    }
    view.setUint32(fields.config_size[0], config.length, true);
    request.set(config, size);
    try {
      ioctl(this.fd, VDUSE_CREATE_DEV, request, "VDUSE_CREATE_DEV");
      return "made";
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (error.errno === EEXIST) return "exists";
      if (error.errno === EINVAL) return "refused";
      if (error.errno === EPERM) {
        throw new RingyardError("PERMISSION", `vduse ${name}: network devices need CAP_NET_ADMIN`, "run as root");
      }
      throw error;
    }
  }

  /** Destroys a device that is off the bus and closed. "absent" and "busy" are no errors here. */
  destroy(name: string): "destroyed" | "absent" | "busy" {
    const request = new Uint8Array(VDUSE_NAME_MAX);
    new TextEncoder().encodeInto(name, request.subarray(0, VDUSE_NAME_MAX - 1));
    try {
      ioctl(this.fd, VDUSE_DESTROY_DEV, request, "VDUSE_DESTROY_DEV");
      return "destroyed";
    } catch (error) {
      if (error instanceof SysError && error.errno === EINVAL) return "absent";
      if (error instanceof SysError && error.errno === EBUSY) return "busy";
      throw error;
    }
  }

  close(): void {
    closeFd(this.fd);
  }
}

/** Opens a device for its messages; one process at a time may. Throws RingyardError. */
export function openDevice(name: string): number {
  const path = `/dev/vduse/${name}`;
  try {
    return openFd(path, O_RDWR | O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.errno === EBUSY) {
      const next = "stop it, or choose another name";
      throw new RingyardError("BUSY", `vduse ${name}: another process or port serves this device`, next);
    }
    if (error.errno === ENOENT) {
      throw new RingyardError("NOT_FOUND", `vduse ${name}: ${path} did not appear`, "mount devtmpfs on /dev");
    }
    throw new RingyardError("SYSTEM", `vduse ${name}: ${error.message}`);
  }
}

/** Writes an attribute under /sys/class/vduse/NAME (Documentation/ABI/testing/sysfs-class-vduse). Throws RingyardError. */
export function setDeviceAttribute(name: string, attribute: "msg_timeout" | "bounce_size", value: number): void {
  try {
    writeFileSync(`/sys/class/vduse/${name}/${attribute}`, `${value}\n`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // 6.4 brought bounce_size, and it is fixed once the device has been on the bus.
    const next = attribute === "bounce_size" ? "leave the bounce option out" : "see that /sys is mounted and writable";
    throw new RingyardError("UNSUPPORTED", `vduse ${name}: cannot set ${attribute} to ${value}: ${code}`, next);
  }
}

function agree(fd: number, version: number): boolean {
  try {
    ioctl(fd, VDUSE_SET_API_VERSION, new BigUint64Array([BigInt(version)]), "VDUSE_SET_API_VERSION");
    return true;
  } catch (error) {
    if (error instanceof SysError && error.errno === EINVAL) return false;
    throw error;
  }
}

/** Takes of the VDUSE features (7.3) those that we can serve; kernels before know the ioctl not, and have none. */
function agreeFeatures(fd: number): number {
  const known = (1 << VDUSE_F_QUEUE_READY) | (1 << VDUSE_F_SUSPEND);
  const features = new Uint32Array(2);
  try {
    ioctl(fd, VDUSE_GET_FEATURES, features, "VDUSE_GET_FEATURES");
    features[0] &= known;
    features[1] = 0;
    ioctl(fd, VDUSE_SET_FEATURES, features, "VDUSE_SET_FEATURES");
    return features[0];
  } catch (error) {
    if (error instanceof SysError) return 0;
    throw error;
  }
}

function explainControl(error: unknown): unknown {
  if (!(error instanceof SysError)) return error;
  if ([ENOENT, ENXIO, ENODEV].includes(error.errno)) {
    return new RingyardError("MISSING", `no VDUSE here: ${CONTROL_PATH} is not there`, "modprobe vduse");
  }
  if (error.errno === EACCES || error.errno === EPERM) {
    return new RingyardError("PERMISSION", `may not open ${CONTROL_PATH}`, "run as root");
  }
  return new RingyardError("SYSTEM", `vduse: ${error.message}`);
}
