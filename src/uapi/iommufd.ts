// iommufd: I/O address spaces as objects of /dev/iommu, and what nested translation for guests builds on them (the uapi header
// iommufd as of Linux 7.2, whole; Debian 12 has none, so test/uapi declares it for the compiler). Needs linux/types.h.
// Every struct begins with its own size. Sizes of flexible arrays' heads do not count what follows.

// ioctls of /dev/iommu: IOMMUFD_CMD_* are their numbers
export const IOMMUFD_TYPE = 0x3b;
export const IOMMUFD_CMD_BASE = 0x80;
export const IOMMUFD_CMD_DESTROY = 0x80;
export const IOMMUFD_CMD_IOAS_ALLOC = 0x81;
export const IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82;
export const IOMMUFD_CMD_IOAS_COPY = 0x83;
export const IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84;
export const IOMMUFD_CMD_IOAS_MAP = 0x85;
export const IOMMUFD_CMD_IOAS_UNMAP = 0x86;
export const IOMMUFD_CMD_OPTION = 0x87;
export const IOMMUFD_CMD_VFIO_IOAS = 0x88;
export const IOMMUFD_CMD_HWPT_ALLOC = 0x89;
export const IOMMUFD_CMD_GET_HW_INFO = 0x8a;
export const IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8b;
export const IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8c;
export const IOMMUFD_CMD_HWPT_INVALIDATE = 0x8d;
export const IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8e;
export const IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f;
export const IOMMUFD_CMD_VIOMMU_ALLOC = 0x90;
export const IOMMUFD_CMD_VDEVICE_ALLOC = 0x91;
export const IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92;
export const IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93;
export const IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94;
export const IOMMU_DESTROY = 0x3b80;
export const IOMMU_IOAS_ALLOC = 0x3b81;
export const IOMMU_IOAS_IOVA_RANGES = 0x3b84;
export const IOMMU_IOAS_ALLOW_IOVAS = 0x3b82;
export const IOMMU_IOAS_MAP = 0x3b85;
export const IOMMU_IOAS_MAP_FILE = 0x3b8f;
export const IOMMU_IOAS_COPY = 0x3b83;
export const IOMMU_IOAS_UNMAP = 0x3b86;
export const IOMMU_OPTION = 0x3b87;
export const IOMMU_VFIO_IOAS = 0x3b88;
export const IOMMU_HWPT_ALLOC = 0x3b89;
export const IOMMU_GET_HW_INFO = 0x3b8a;
export const IOMMU_HWPT_SET_DIRTY_TRACKING = 0x3b8b;
export const IOMMU_HWPT_GET_DIRTY_BITMAP = 0x3b8c;
export const IOMMU_HWPT_INVALIDATE = 0x3b8d;
export const IOMMU_FAULT_QUEUE_ALLOC = 0x3b8e;
export const IOMMU_VIOMMU_ALLOC = 0x3b90;
export const IOMMU_VDEVICE_ALLOC = 0x3b91;
export const IOMMU_VEVENTQ_ALLOC = 0x3b93;
export const IOMMU_HW_QUEUE_ALLOC = 0x3b94;
export const IOMMU_IOAS_CHANGE_PROCESS = 0x3b92;

// flags and enumerations
export const IOMMU_IOAS_MAP_FIXED_IOVA = 0x1;
export const IOMMU_IOAS_MAP_WRITEABLE = 0x2;
export const IOMMU_IOAS_MAP_READABLE = 0x4;
export const IOMMU_OPTION_RLIMIT_MODE = 0x0;
export const IOMMU_OPTION_HUGE_PAGES = 0x1;
export const IOMMU_OPTION_OP_SET = 0x0;
export const IOMMU_OPTION_OP_GET = 0x1;
export const IOMMU_VFIO_IOAS_GET = 0x0;
export const IOMMU_VFIO_IOAS_SET = 0x1;
export const IOMMU_VFIO_IOAS_CLEAR = 0x2;
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 0x1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 0x2;
export const IOMMU_HWPT_FAULT_ID_VALID = 0x4;
export const IOMMU_HWPT_ALLOC_PASID = 0x8;
export const IOMMU_VTD_S1_SRE = 0x1;
export const IOMMU_VTD_S1_EAFE = 0x2;
export const IOMMU_VTD_S1_WPE = 0x4;
export const IOMMU_HWPT_DATA_NONE = 0x0;
export const IOMMU_HWPT_DATA_VTD_S1 = 0x1;
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 0x2;
export const IOMMU_HWPT_DATA_AMD_GUEST = 0x3;
export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 0x1;
export const IOMMU_HW_INFO_TYPE_NONE = 0x0;
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0x0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 0x1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 0x2;
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 0x3;
export const IOMMU_HW_INFO_TYPE_AMD = 0x4;
export const IOMMU_HW_CAP_DIRTY_TRACKING = 0x1;
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 0x2;
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 0x4;
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 0x8;
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 0x1;
export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 0x1;
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 0x1;
export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0x0;
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 0x1;
export const IOMMU_VTD_INV_FLAGS_LEAF = 0x1;
export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 0x1;
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 0x2;
export const IOMMU_PGFAULT_PERM_READ = 0x1;
export const IOMMU_PGFAULT_PERM_WRITE = 0x2;
export const IOMMU_PGFAULT_PERM_EXEC = 0x4;
export const IOMMU_PGFAULT_PERM_PRIV = 0x8;
export const IOMMUFD_PAGE_RESP_SUCCESS = 0x0;
export const IOMMUFD_PAGE_RESP_INVALID = 0x1;
export const IOMMU_VIOMMU_TYPE_DEFAULT = 0x0;
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 0x1;
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 0x2;
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 0x1;
export const IOMMU_VEVENTQ_TYPE_DEFAULT = 0x0;
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 0x1;
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 0x2;
export const IOMMU_HW_QUEUE_TYPE_DEFAULT = 0x0;
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 0x1;

// structs

export const struct_iommu_destroy = { size: 8, fields: { size: [0, 4], id: [4, 4] } } as const;

export const struct_iommu_ioas_alloc = {
  size: 12,
  fields: { size: [0, 4], flags: [4, 4], out_ioas_id: [8, 4] },
} as const;

export const struct_iommu_iova_range = { size: 16, fields: { start: [0, 8], last: [8, 8] } } as const;

export const struct_iommu_ioas_iova_ranges = {
  size: 32,
  fields: {
    size: [0, 4],
    ioas_id: [4, 4],
    num_iovas: [8, 4],
    __reserved: [12, 4],
    allowed_iovas: [16, 8],
    out_iova_alignment: [24, 8],
  },
} as const;

export const struct_iommu_ioas_allow_iovas = {
  size: 24,
  fields: { size: [0, 4], ioas_id: [4, 4], num_iovas: [8, 4], __reserved: [12, 4], allowed_iovas: [16, 8] },
} as const;

export const struct_iommu_ioas_map = {
  size: 40,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    ioas_id: [8, 4],
    __reserved: [12, 4],
    user_va: [16, 8],
    length: [24, 8],
    iova: [32, 8],
  },
} as const;

export const struct_iommu_ioas_map_file = {
  size: 40,
  fields: { size: [0, 4], flags: [4, 4], ioas_id: [8, 4], fd: [12, 4], start: [16, 8], length: [24, 8], iova: [32, 8] },
} as const;

export const struct_iommu_ioas_copy = {
  size: 40,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    dst_ioas_id: [8, 4],
    src_ioas_id: [12, 4],
    length: [16, 8],
    dst_iova: [24, 8],
    src_iova: [32, 8],
  },
} as const;

export const struct_iommu_ioas_unmap = {
  size: 24,
  fields: { size: [0, 4], ioas_id: [4, 4], iova: [8, 8], length: [16, 8] },
} as const;

export const struct_iommu_option = {
  size: 24,
  fields: { size: [0, 4], option_id: [4, 4], op: [8, 2], __reserved: [10, 2], object_id: [12, 4], val64: [16, 8] },
} as const;

export const struct_iommu_vfio_ioas = {
  size: 12,
  fields: { size: [0, 4], ioas_id: [4, 4], op: [8, 2], __reserved: [10, 2] },
} as const;

export const struct_iommu_hwpt_vtd_s1 = {
  size: 24,
  fields: { flags: [0, 8], pgtbl_addr: [8, 8], addr_width: [16, 4], __reserved: [20, 4] },
} as const;

export const struct_iommu_hwpt_arm_smmuv3 = { size: 16, fields: { ste: [0, 16] } } as const;

export const struct_iommu_hwpt_amd_guest = { size: 32, fields: { dte: [0, 32] } } as const;

export const struct_iommu_hwpt_alloc = {
  size: 48,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    dev_id: [8, 4],
    pt_id: [12, 4],
    out_hwpt_id: [16, 4],
    __reserved: [20, 4],
    data_type: [24, 4],
    data_len: [28, 4],
    data_uptr: [32, 8],
    fault_id: [40, 4],
    __reserved2: [44, 4],
  },
} as const;

export const struct_iommu_hw_info_vtd = {
  size: 24,
  fields: { flags: [0, 4], __reserved: [4, 4], cap_reg: [8, 8], ecap_reg: [16, 8] },
} as const;

export const struct_iommu_hw_info_arm_smmuv3 = {
  size: 40,
  fields: { flags: [0, 4], __reserved: [4, 4], idr: [8, 24], iidr: [32, 4], aidr: [36, 4] },
} as const;

export const struct_iommu_hw_info_tegra241_cmdqv = {
  size: 8,
  fields: { flags: [0, 4], version: [4, 1], log2vcmdqs: [5, 1], log2vsids: [6, 1], __reserved: [7, 1] },
} as const;

export const struct_iommu_hw_info_amd = { size: 16, fields: { efr: [0, 8], efr2: [8, 8] } } as const;

export const struct_iommu_hw_info = {
  size: 40,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    dev_id: [8, 4],
    data_len: [12, 4],
    data_uptr: [16, 8],
    in_data_type: [24, 4],
    out_data_type: [24, 4],
    out_max_pasid_log2: [28, 1],
    __reserved: [29, 3],
    out_capabilities: [32, 8],
  },
} as const;

export const struct_iommu_hwpt_set_dirty_tracking = {
  size: 16,
  fields: { size: [0, 4], flags: [4, 4], hwpt_id: [8, 4], __reserved: [12, 4] },
} as const;

export const struct_iommu_hwpt_get_dirty_bitmap = {
  size: 48,
  fields: {
    size: [0, 4],
    hwpt_id: [4, 4],
    flags: [8, 4],
    __reserved: [12, 4],
    iova: [16, 8],
    length: [24, 8],
    page_size: [32, 8],
    data: [40, 8],
  },
} as const;

export const struct_iommu_hwpt_vtd_s1_invalidate = {
  size: 24,
  fields: { addr: [0, 8], npages: [8, 8], flags: [16, 4], __reserved: [20, 4] },
} as const;

export const struct_iommu_viommu_arm_smmuv3_invalidate = { size: 16, fields: { cmd: [0, 16] } } as const;

export const struct_iommu_hwpt_invalidate = {
  size: 32,
  fields: {
    size: [0, 4],
    hwpt_id: [4, 4],
    data_uptr: [8, 8],
    data_type: [16, 4],
    entry_len: [20, 4],
    entry_num: [24, 4],
    __reserved: [28, 4],
  },
} as const;

export const struct_iommu_hwpt_pgfault = {
  size: 40,
  fields: {
    flags: [0, 4],
    dev_id: [4, 4],
    pasid: [8, 4],
    grpid: [12, 4],
    perm: [16, 4],
    __reserved: [20, 4],
    addr: [24, 8],
    length: [32, 4],
    cookie: [36, 4],
  },
} as const;

export const struct_iommu_hwpt_page_response = { size: 8, fields: { cookie: [0, 4], code: [4, 4] } } as const;

export const struct_iommu_fault_alloc = {
  size: 16,
  fields: { size: [0, 4], flags: [4, 4], out_fault_id: [8, 4], out_fault_fd: [12, 4] },
} as const;

export const struct_iommu_viommu_tegra241_cmdqv = {
  size: 16,
  fields: { out_vintf_mmap_offset: [0, 8], out_vintf_mmap_length: [8, 8] },
} as const;

export const struct_iommu_viommu_alloc = {
  size: 40,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    type: [8, 4],
    dev_id: [12, 4],
    hwpt_id: [16, 4],
    out_viommu_id: [20, 4],
    data_len: [24, 4],
    __reserved: [28, 4],
    data_uptr: [32, 8],
  },
} as const;

export const struct_iommu_vdevice_alloc = {
  size: 24,
  fields: { size: [0, 4], viommu_id: [4, 4], dev_id: [8, 4], out_vdevice_id: [12, 4], virt_id: [16, 8] },
} as const;

export const struct_iommu_ioas_change_process = { size: 8, fields: { size: [0, 4], __reserved: [4, 4] } } as const;

export const struct_iommufd_vevent_header = { size: 8, fields: { flags: [0, 4], sequence: [4, 4] } } as const;

export const struct_iommu_vevent_arm_smmuv3 = { size: 32, fields: { evt: [0, 32] } } as const;

export const struct_iommu_vevent_tegra241_cmdqv = { size: 16, fields: { lvcmdq_err_map: [0, 16] } } as const;

export const struct_iommu_veventq_alloc = {
  size: 32,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    viommu_id: [8, 4],
    type: [12, 4],
    veventq_depth: [16, 4],
    out_veventq_id: [20, 4],
    out_veventq_fd: [24, 4],
    __reserved: [28, 4],
  },
} as const;

export const struct_iommu_hw_queue_alloc = {
  size: 40,
  fields: {
    size: [0, 4],
    flags: [4, 4],
    viommu_id: [8, 4],
    type: [12, 4],
    index: [16, 4],
    out_hw_queue_id: [20, 4],
    nesting_parent_iova: [24, 8],
    length: [32, 8],
  },
} as const;
