/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation/oci/spec.h"
