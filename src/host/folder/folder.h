/* Folders as disks, each in a process of its own: who reaches into a folder can reach nothing else. See
 * block/image_fat.c for the names, block/fat.h for the disk.
 *
 *     drive's thread --- order, data ---> socket ---> ringer-fat (Landlock: the folder; seccomp) ---> openat, pread ...
 *
 * A folder's process is made before the fence is up, and stays: a drive can be given that folder again later, under the
 * same name, but no other.
 */
#pragma once

/* From now on disks are made so. */
void folder_processes_use(void);
/* No new ones, before the fence forbids them. */
void folder_processes_seal(void);
