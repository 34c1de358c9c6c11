// Descriptors of both families: 16 bytes, four little-endian words.
//
//                      word 0           word 1        word 2                            word 3
//   receive, posted    buffer address   .             0 (header address, unused)        0
//   receive, done      RSS, type        hash or id    status and errors                 length | VLAN << 16
//   transmit data      buffer address   .             length | type | command << 24     status | options
//   context, 82574     IP checksum      TCP checksum  payload | type | command << 24    status | header length, MSS
//   context, 82576     lengths          0             type and command                  L4 length, MSS
//
// "Extended" is the 82574's form (7.1.5, 7.2), "advanced" the 82576's (7.1.5, 7.2.2): the same where it says nothing else.

export const DESC_SIZE = 16;
/** Words of a descriptor, as a shift. */
export const DESC_SHIFT = 2;

// Receive: word 2. DD is the descriptor's hand-over in both directions.
export const E1000_RXD_STAT_DD = 1 << 0;
export const E1000_RXD_STAT_EOP = 1 << 1;
export const E1000_RXD_STAT_IXSM = 1 << 2;
export const E1000_RXD_STAT_UDPCS = 1 << 4;
export const E1000_RXD_STAT_TCPCS = 1 << 5;
export const E1000_RXDEXT_STATERR_TCPE = 1 << 29;
export const E1000_RXDEXT_STATERR_IPE = 1 << 30;
/** CE, SE, SEQ, CXE, RXE: the frame itself is damaged. */
export const E1000_RXDEXT_ERR_FRAME_ERR_MASK = (7 << 24) | (1 << 28) | (1 << 31);

// Transmit: word 2.
export const E1000_TXD_CMD_EOP = 1 << 24;
export const E1000_TXD_CMD_IFCS = 1 << 25;
export const E1000_TXD_CMD_RS = 1 << 27;
export const E1000_TXD_CMD_DEXT = 1 << 29;
export const E1000_TXD_DTYP_D = 1 << 20;
/** In a context descriptor: of TCP, of IPv4. */
export const E1000_TXD_CMD_TCP = 1 << 24;
export const E1000_TXD_CMD_IP = 1 << 25;
export const E1000_TXD_CMD_TSE = 1 << 26;
export const E1000_ADVTXD_DTYP_CTXT = 2 << 20;
export const E1000_ADVTXD_DTYP_DATA = 3 << 20;
export const E1000_ADVTXD_DCMD_TSE = 1 << 31;
export const E1000_ADVTXD_TUCMD_IPV4 = 1 << 10;
export const E1000_ADVTXD_TUCMD_L4T_TCP = 1 << 11;

// Transmit: word 3.
export const E1000_TXD_STAT_DD = 1 << 0;
/** Insert the IPv4 header's checksum, TCP's or UDP's. */
export const E1000_TXD_POPTS_IXSM = 1 << 8;
export const E1000_TXD_POPTS_TXSM = 1 << 9;
export const E1000_ADVTXD_PAYLEN_SHIFT = 14;

// Context descriptors.
export const E1000_TXD_HDRLEN_SHIFT = 8;
export const E1000_TXD_MSS_SHIFT = 16;
export const E1000_ADVTXD_MACLEN_SHIFT = 9;
export const E1000_ADVTXD_L4LEN_SHIFT = 8;
/** HDRLEN of the 82574 has eight bits. */
export const MAX_HEADER_SIZE = 255;
