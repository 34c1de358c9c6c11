// The messages of a VDUSE device (linux/vduse.h): what the kernel asks by read(2), and the answers by write(2).
//
//   request  152 bytes: type u32 | id u32 | reserved | what the type needs
//   response 152 bytes: id u32 | result u32 | reserved | a queue's state, for GET_VQ_STATE
//
// Pure; the message thread and the control thread use it.

import {
  struct_vduse_dev_request,
  struct_vduse_dev_response,
  VDUSE_GET_VQ_STATE,
  VDUSE_REQ_RESULT_FAILED,
  VDUSE_REQ_RESULT_OK,
  VDUSE_SET_STATUS,
  VDUSE_SET_VQ_GROUP_ASID,
  VDUSE_SET_VQ_READY,
  VDUSE_SUSPEND,
  VDUSE_UPDATE_IOTLB,
} from "../../uapi/vduse.ts";

/** Plain data: it crosses from the message thread. */
export type VduseRequest = { id: number } & (
  | { type: "get-vq-state"; queue: number }
  | { type: "set-status"; status: number }
  /** The driver's whole address space has changed; the kernel always says so of all of it. */
  | { type: "update-iotlb" }
  | { type: "set-vq-group-asid"; group: number; asid: number }
  | { type: "set-vq-ready"; queue: number; ready: boolean }
  | { type: "suspend" }
  | { type: "unknown"; number: number }
);

/** Where a queue stands: the next buffer of a split ring, or the four fields of a packed one. */
export type QueueState =
  | { availIndex: number }
  | { lastAvailCounter: number; lastAvailIdx: number; lastUsedCounter: number; lastUsedIdx: number };

export const REQUEST_SIZE = struct_vduse_dev_request.size;
export const RESPONSE_SIZE = struct_vduse_dev_response.size;

export function readRequest(view: DataView): VduseRequest {
  const { fields } = struct_vduse_dev_request;
  const u32 = (field: keyof typeof fields) => view.getUint32(fields[field][0], true);
  const id = u32("request_id");
  const type = u32("type");
  switch (type) {
    case VDUSE_GET_VQ_STATE:
      return { id, type: "get-vq-state", queue: u32("vq_state.index") };
    case VDUSE_SET_STATUS:
      return { id, type: "set-status", status: view.getUint8(fields["s.status"][0]) };
    case VDUSE_UPDATE_IOTLB:
      return { id, type: "update-iotlb" };
    case VDUSE_SET_VQ_GROUP_ASID:
      return { id, type: "set-vq-group-asid", group: u32("vq_group_asid.group"), asid: u32("vq_group_asid.asid") };
    case VDUSE_SET_VQ_READY:
      return { id, type: "set-vq-ready", queue: u32("vq_ready.num"), ready: u32("vq_ready.ready") !== 0 };
    case VDUSE_SUSPEND:
      return { id, type: "suspend" };
    default:
      return { id, type: "unknown", number: type };
  }
}

/** Writes the answer to request `id` into the RESPONSE_SIZE bytes of `view`. */
export function writeResponse(view: DataView, id: number, ok: boolean, queue?: number, state?: QueueState): void {
  const { fields } = struct_vduse_dev_response;
  for (let at = 0; at < RESPONSE_SIZE; at += 4) view.setUint32(at, 0, true);
  view.setUint32(fields.request_id[0], id, true);
  view.setUint32(fields.result[0], ok ? VDUSE_REQ_RESULT_OK : VDUSE_REQ_RESULT_FAILED, true);
  if (queue === undefined || state === undefined) return;
  const u16 = (field: keyof typeof fields, value: number) => view.setUint16(fields[field][0], value, true);
  view.setUint32(fields["vq_state.index"][0], queue, true);
  if ("availIndex" in state) {
    u16("vq_state.split.avail_index", state.availIndex);
  } else {
    u16("vq_state.packed.last_avail_counter", state.lastAvailCounter);
    u16("vq_state.packed.last_avail_idx", state.lastAvailIdx);
    u16("vq_state.packed.last_used_counter", state.lastUsedCounter);
    u16("vq_state.packed.last_used_idx", state.lastUsedIdx);
  }
}

/**
 * Whether the message thread answers by itself. The kernel holds RTNL while it waits for DRIVER_OK (virtnet_probe), and the
 * control thread may be waiting for RTNL; whatever takes memory away has to wait for the workers instead.
 */
export function needsNoWaiting(request: VduseRequest): boolean {
  return request.type === "set-status" && request.status !== 0;
}
