// Building a lane of an Intel NIC in the worker that will run it, from plain data. Cold.
//
// Every worker maps nothing: registers, DMA memory and the lane's own words are mapped by the control thread, which unmaps
// them after the lane was closed everywhere.

import { DELIVER_STATUS, FETCH_STATUS, RING_RUNNING } from "../../../mem/lane-state.ts";
import { viewOf } from "../../../sys/memory.ts";
import type { Lane, LaneConfig, LaneContext } from "../../port.ts";
import { openRegisters, type Registers } from "../registers.ts";
import { IntelLane } from "./lane.ts";
import { addressWords, dmaSize, ownSize, rxBuffersAt, TX_BUFFER_SIZE, txBuffersAt, txRingAt } from "./layout.ts";
import { Receiver } from "./receive.ts";
import { Transmitter } from "./transmitter.ts";

export type IntelLaneConfig = Extract<LaneConfig, { driver: "intel" }>;

/** The LaneFactory of driver "intel". */
export function createIntelLane(config: IntelLaneConfig, context: LaneContext): Lane {
  return buildLane(config, context, openRegisters(config.registers));
}

/** The same over given registers; tests give a device's model. */
export function buildLane(config: IntelLaneConfig, context: LaneContext, registers: Registers): IntelLane {
  const { layout, address, iova, maxFrame, advanced } = config;
  const { windows, counters, state, owner, shared } = context;
  const own = new Int32Array(viewOf(config.own, 0, ownSize(layout)));
  const window = windows.add(address, dmaSize(layout));
  const { rxCount, txCount, rxBufferSize } = layout;
  const receiver = new Receiver(
    windows.i32[window],
    window,
    own,
    counters,
    registers,
    config.rxTail,
    rxCount,
    rxBuffersAt(layout),
    rxBufferSize,
    addressWords(iova + rxBuffersAt(layout), rxCount, rxBufferSize),
    maxFrame,
  );
  const transmitter = new Transmitter({
    windows,
    window,
    own,
    counters,
    registers,
    tail: config.txTail,
    count: txCount,
    ringWord: txRingAt(layout) / 4,
    buffersAt: txBuffersAt(layout),
    addresses: addressWords(iova + txBuffersAt(layout), txCount, TX_BUFFER_SIZE),
    maxFrame,
    advanced,
    state,
    zeroCopy: context.zeroCopy ?? { self: 0, iova: new Float64Array(0) },
  });
  if (owner) {
    state[FETCH_STATUS] = RING_RUNNING;
    state[DELIVER_STATUS] = RING_RUNNING;
  }
  return new IntelLane(
    config.accepts,
    owner ? config.wakeFd : -1,
    owner ? receiver : null,
    transmitter,
    registers,
    config.interrupt,
    windows,
    window,
    state,
    shared,
  );
}
