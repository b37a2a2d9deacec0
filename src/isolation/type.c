/* SPDX-License-Identifier: Apache-2.0 */
/* type.c - the list of drivers. meson.build makes ISOLATION_TYPES from its list of folders:
 * `X(kvm) X(oci)`. */
#include "isolation/type.h"

#define X(name) extern const struct isolation_type name##_isolation;
ISOLATION_TYPES
#undef X

#define X(name) &name##_isolation,
const struct isolation_type *const isolation_types[] = {ISOLATION_TYPES NULL};
#undef X
