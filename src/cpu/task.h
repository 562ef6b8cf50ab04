/* Task switches through TSS descriptors and task gates. Intel SDM vol. 3A, chapter 7. */
#pragma once

#include "cpu.h"

enum task_source { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET };

/* Switches to the task of sel. return_eip is what the old TSS remembers. With has_error the error code
 * is pushed on the new task's stack. After the commit point faults belong to the new task: then
 * CPU_FAULT is returned with cpu->eip in the new task. */
enum cpu_rc task_switch(struct cpu *cpu, uint16_t sel, enum task_source source, uint32_t return_eip, bool has_error,
                        uint32_t error);
