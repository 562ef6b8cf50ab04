/* Registers and descriptors of the 82540EM, by the names of the PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual (317453), chapters 3 and 13. */
#pragma once

#define CTRL     0x0000
#define CTRL_DUP 0x0004
#define STATUS   0x0008
#define EECD     0x0010
#define EERD     0x0014
#define CTRL_EXT 0x0018
#define FLA      0x001c
#define MDIC     0x0020
#define FCAL     0x0028
#define FCAH     0x002c
#define FCT      0x0030
#define VET      0x0038
#define ICR      0x00c0
#define ITR      0x00c4
#define ICS      0x00c8
#define IMS      0x00d0
#define IMC      0x00d8
#define RCTL     0x0100
#define FCTTV    0x0170
#define TXCW     0x0178
#define RXCW     0x0180
#define TCTL     0x0400
#define TIPG     0x0410
#define TBT      0x0448
#define AIFS     0x0458
#define LEDCTL   0x0e00
#define PBA      0x1000
#define FCRTL    0x2160
#define FCRTH    0x2168
#define RDFH     0x2410
#define RDFPC    0x2430
#define RDBAL    0x2800
#define RDBAH    0x2804
#define RDLEN    0x2808
#define RDH      0x2810
#define RDT      0x2818
#define RDTR     0x2820
#define RXDCTL   0x2828
#define RADV     0x282c
#define RSRPD    0x2c00
#define TXDMAC   0x3000
#define TDFH     0x3410
#define TDFPC    0x3430
#define TDBAL    0x3800
#define TDBAH    0x3804
#define TDLEN    0x3808
#define TDH      0x3810
#define TDT      0x3818
#define TIDV     0x3820
#define TXDCTL   0x3828
#define TADV     0x382c
#define TSPMT    0x3830
#define STATS    0x4000 /* to STATS_END: counters */
#define RXCSUM   0x5000
#define MTA      0x5200
#define RAL      0x5400
#define RAH      0x5404
#define VFTA     0x5600
#define WUC      0x5800
#define WUFC     0x5808
#define WUS      0x5810
#define MANC     0x5820
#define IPAV     0x5838
#define IP4AT    0x5840
#define IP6AT    0x5880
#define WUPL     0x5900
#define WUPM     0x5a00
#define FFLT     0x5f00
#define FFMT     0x9000
#define FFVT     0x9800

#define MTA_WORDS  128u
#define RA_ENTRIES 16u

#define CTRL_SLU     (1u << 6)
#define CTRL_RST     (1u << 26)
#define CTRL_VME     (1u << 30)
#define CTRL_PHY_RST (1u << 31)

#define STATUS_FD    (1u << 0)
#define STATUS_LU    (1u << 1)
#define STATUS_TXOFF (1u << 4)
#define STATUS_SPEED 6 /* both, two bits: 0 is 10, 1 is 100, 2 is 1000 */
#define STATUS_ASDV  8
#define SPEED_1000   2u

#define EECD_SK   (1u << 0)
#define EECD_CS   (1u << 1)
#define EECD_DI   (1u << 2)
#define EECD_DO   (1u << 3)
#define EECD_FWE  (3u << 4)
#define EECD_REQ  (1u << 6)
#define EECD_GNT  (1u << 7)
#define EECD_PRES (1u << 8)

#define EERD_START (1u << 0)
#define EERD_DONE  (1u << 4)

#define CTRL_EXT_EE_RST (1u << 13)

#define MDIC_OP_WRITE (1u << 26)
#define MDIC_OP_READ  (2u << 26)
#define MDIC_OP       (3u << 26)
#define MDIC_R        (1u << 28)
#define MDIC_I        (1u << 29)
#define MDIC_E        (1u << 30)

#define ICR_TXDW    (1u << 0)
#define ICR_TXQE    (1u << 1)
#define ICR_LSC     (1u << 2)
#define ICR_RXDMT0  (1u << 4)
#define ICR_RXO     (1u << 6)
#define ICR_RXT0    (1u << 7)
#define ICR_MDAC    (1u << 9)
#define ICR_PHYINT  (1u << 12)
#define ICR_TXD_LOW (1u << 15)
#define ICR_SRPD    (1u << 16)
#define ICR_ALL     0x0001ffffu

#define RCTL_EN    (1u << 1)
#define RCTL_UPE   (1u << 3)
#define RCTL_MPE   (1u << 4)
#define RCTL_LPE   (1u << 5)
#define RCTL_LBM   (3u << 6)
#define RCTL_RDMTS 8
#define RCTL_MO    12
#define RCTL_BAM   (1u << 15)
#define RCTL_BSIZE 16
#define RCTL_VFE   (1u << 18)
#define RCTL_CFIEN (1u << 19)
#define RCTL_CFI   (1u << 20)
#define RCTL_PMCF  (1u << 23)
#define RCTL_BSEX  (1u << 25)
#define RCTL_SECRC (1u << 26)

#define TCTL_EN  (1u << 1)
#define TCTL_PSP (1u << 3)

#define RXCSUM_IPOFL (1u << 8)
#define RXCSUM_TUOFL (1u << 9)

#define DELAY_FPD (1u << 31) /* RDTR, TIDV: at once */

/* Counters, 13.7; the pairs are 64 bits wide. Lengths are with the frame check sequence. */
#define STATS_END 0x4128
#define MPC       0x4010
#define PRC64     0x405c /* 64; to 127, 255, 511, 1023, more: six of them */
#define GPRC      0x4074
#define BPRC      0x4078
#define MPRC      0x407c
#define GPTC      0x4080
#define GORCL     0x4088
#define GOTCL     0x4090
#define RNBC      0x40a0
#define RUC       0x40a4
#define ROC       0x40ac
#define TORL      0x40c0
#define TOTL      0x40c8
#define TPR       0x40d0
#define TPT       0x40d4
#define PTC64     0x40d8 /* as PRC64 */
#define MPTC      0x40f0
#define BPTC      0x40f4
#define TSCTC     0x40f8
#define TSCTFC    0x40fc

/* Descriptors are 16 bytes. Transmit, 3.3.3 to 3.3.7: the bits of the third dword's upper byte. */
#define TX_EOP         (1u << 0)
#define TX_IC          (1u << 2) /* legacy */
#define TX_TSE         (1u << 2) /* extended */
#define TX_RS          (1u << 3)
#define TX_RPS         (1u << 4)
#define TX_DEXT        (1u << 5)
#define TX_VLE         (1u << 6)
#define TX_IDE         (1u << 7)
#define TX_DTYP(dword) ((dword) >> 20 & 15) /* 0 context, 1 data */
#define TUCMD_TCP      (1u << 0)
#define TUCMD_IP       (1u << 1) /* IPv4 */
#define POPTS_IXSM     (1u << 0)
#define POPTS_TXSM     (1u << 1)
#define TX_DD          0x01

/* Receive, 3.2.3. */
#define RX_DD    (1u << 0)
#define RX_EOP   (1u << 1)
#define RX_IXSM  (1u << 2)
#define RX_VP    (1u << 3)
#define RX_TCPCS (1u << 5)
#define RX_IPCS  (1u << 6)
#define RX_PIF   (1u << 7)
#define RX_TCPE  (1u << 5) /* errors */
#define RX_IPE   (1u << 6)
