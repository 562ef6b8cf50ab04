/* What the stub in a cell (stub.S) and the monitor (../cell.c) agree on. Also read by the assembler. */
#pragma once

#define STUB_TEXT_AT     0x700000000000
#define STUB_ORDERS_AT   0x700000100000
#define STUB_ORDERS_SIZE 4096
#define STUB_ORDER_FIRST 8  /* offset of the first order; a 32-bit count stands at 0 */
#define STUB_ORDER_SIZE  56 /* system call number and six arguments, 64 bits each */
#define STUB_ORDERS      ((STUB_ORDERS_SIZE - STUB_ORDER_FIRST) / STUB_ORDER_SIZE)
#define STUB_FD_RAM      3
#define STUB_FD_ORDERS   4
