/* 16550A UART. */
#pragma once

#include "backend.h"
#include "device.h"
#include "irq.h"

struct uart;

/* base: 3F8h and so on. backend: who is at the other end of the cable, or NULL (nobody: no modem lines,
 * bytes vanish). name is for messages. */
struct uart *uart_new(uint16_t base, const struct irq *irq, struct chardev *backend, const char *name);
void uart_free(struct uart *uart);

extern const struct device_class uart_class;
