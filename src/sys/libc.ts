// The one table of C functions that ringyard calls: glibc through bun:ffi. The C declaration stands beside each entry.
// Addresses are plain numbers (`ptr`): user space on x86-64 and arm64 ends below 2^53. A typed array goes in as `buffer`,
// which is resolved at the call itself; `ptr()` of a small typed array goes stale at tier-up, so it is never kept.
// Calls cost 1 to 4 ns on top of the system call and may be made from any thread; errno is read by `errno.ts` only.

import { dlopen } from "bun:ffi";

const table = {
  __errno_location: { args: [], returns: "ptr" }, // int *__errno_location(void)
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" }, // int accept4(int, struct sockaddr *, socklen_t *, int flags)
  bind: { args: ["i32", "buffer", "u32"], returns: "i32" }, // int bind(int, const struct sockaddr *, socklen_t)
  connect: { args: ["i32", "buffer", "u32"], returns: "i32" }, // int connect(int, const struct sockaddr *, socklen_t)
  epoll_create1: { args: ["i32"], returns: "i32" }, // int epoll_create1(int flags)
  epoll_ctl: { args: ["i32", "i32", "i32", "buffer"], returns: "i32" }, // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *)
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" }, // int epoll_wait(int, struct epoll_event *, int maxevents, int ms)
  eventfd: { args: ["u32", "i32"], returns: "i32" }, // int eventfd(unsigned int initval, int flags)
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" }, // int fcntl(int, int cmd, int arg)
  flock: { args: ["i32", "i32"], returns: "i32" }, // int flock(int, int operation)
  ftruncate: { args: ["i32", "i64"], returns: "i32" }, // int ftruncate(int, off_t)
  getrlimit: { args: ["i32", "buffer"], returns: "i32" }, // int getrlimit(int resource, struct rlimit *)
  ioctl: { args: ["i32", "u64", "buffer"], returns: "i32" }, // int ioctl(int, unsigned long request, void *)
  listen: { args: ["i32", "i32"], returns: "i32" }, // int listen(int, int backlog)
  // 4 ns a call. Its size as `u64` (looked at for a BigInt, which `ptr`, a word just as long, is not) adds 2, a pointer returned 5.
  memcpy: { args: ["ptr", "ptr", "ptr"], returns: "void" }, // void *memcpy(void *, const void *, size_t)
  memfd_create: { args: ["buffer", "u32"], returns: "i32" }, // int memfd_create(const char *, unsigned int flags)
  mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: "ptr" }, // void *mmap(void *, size_t, int prot, int flags, int fd, off_t)
  munmap: { args: ["ptr", "u64"], returns: "i32" }, // int munmap(void *, size_t)
  open: { args: ["buffer", "i32", "u32"], returns: "i32" }, // int open(const char *, int flags, mode_t)
  pread: { args: ["i32", "ptr", "u64", "i64"], returns: "i64_fast" }, // ssize_t pread(int, void *, size_t, off_t)
  pwrite: { args: ["i32", "ptr", "u64", "i64"], returns: "i64_fast" }, // ssize_t pwrite(int, const void *, size_t, off_t)
  read: { args: ["i32", "ptr", "u64"], returns: "i64_fast" }, // ssize_t read(int, void *, size_t)
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i64_fast" }, // ssize_t recvmsg(int, struct msghdr *, int flags)
  sched_setaffinity: { args: ["i32", "u64", "buffer"], returns: "i32" }, // int sched_setaffinity(pid_t, size_t, const cpu_set_t *)
  sendmsg: { args: ["i32", "ptr", "i32"], returns: "i64_fast" }, // ssize_t sendmsg(int, const struct msghdr *, int flags)
  sendto: { args: ["i32", "buffer", "u64", "i32", "buffer", "u32"], returns: "i64_fast" }, // ssize_t sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t)
  setrlimit: { args: ["i32", "buffer"], returns: "i32" }, // int setrlimit(int resource, const struct rlimit *)
  setns: { args: ["i32", "i32"], returns: "i32" }, // int setns(int fd, int nstype)
  socket: { args: ["i32", "i32", "i32"], returns: "i32" }, // int socket(int domain, int type, int protocol)
  write: { args: ["i32", "ptr", "u64"], returns: "i64_fast" }, // ssize_t write(int, const void *, size_t)
  writev: { args: ["i32", "ptr", "i32"], returns: "i64_fast" }, // ssize_t writev(int, const struct iovec *, int)
} as const;

/** glibc, as bound above. Pointers are numbers here; `sys/` alone may use this. */
export const libc = dlopen("libc.so.6", table as unknown as Parameters<typeof dlopen>[1]).symbols as unknown as {
  [name in keyof typeof table]: (...args: (number | bigint | NodeJS.TypedArray | null)[]) => number;
};

/** ioctl(2) again, for requests whose argument is the number itself: int ioctl(int, unsigned long request, unsigned long) */
export const ioctlByValue = dlopen("libc.so.6", { ioctl: { args: ["i32", "u64", "u64"], returns: "i32" } }).symbols
  .ioctl;
