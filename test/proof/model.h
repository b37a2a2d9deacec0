/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - put before every file that is proved: what the prover's own C library lacks. Values
 * that no proof depends on are any. */
#ifndef CORRAL_PROOF_MODEL_H
#define CORRAL_PROOF_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define MAP_NORESERVE                   0x4000
#define MADV_HUGEPAGE                   14
#define MADV_DONTDUMP                   16
#define MADV_DONTNEED                   4
#define SEEK_DATA                       3
#define SEEK_HOLE                       4
#define LOCK_EX                         2
#define LOCK_NB                         4
#define __builtin_add_overflow(a, b, r) (*(r) = (a) + (b), *(r) < (a))

#endif
