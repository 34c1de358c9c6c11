// KVM kept in use, for as long as this process lives, in a machine that is emulated itself.
//
//   first VM ->  the kernel patches its scheduler (preempt_notifier_key) and the local APIC's code (apic_sw_disabled)  <- last VM ends
//
// It does so while the other processor runs, and the emulator loses that race now and then: the machine panics (int3), or a guest hangs and
// cannot be killed. With one more VM, which never runs, that happens once, while nothing else does. Main thread of a test process.

import { ioctlValue, O_RDWR, openFd } from "../../../src/sys/fd.ts";

/** linux/kvm.h: _IO(KVMIO, …), none of which has a struct. */
const KVM_CREATE_VM = 0xae01;
const KVM_CREATE_VCPU = 0xae41;
const KVM_CREATE_IRQCHIP = 0xae60;

let vm: number | undefined;

/** Makes the VM that never runs, once. */
export function keepKvmInUse(): void {
  if (vm !== undefined) return;
  const kvm = openFd("/dev/kvm", O_RDWR);
  vm = ioctlValue(kvm, KVM_CREATE_VM, 0, "KVM_CREATE_VM");
  // Its local APIC is disabled for as long as nobody runs it.
  ioctlValue(vm, KVM_CREATE_IRQCHIP, 0, "KVM_CREATE_IRQCHIP");
  ioctlValue(vm, KVM_CREATE_VCPU, 0, "KVM_CREATE_VCPU");
}
