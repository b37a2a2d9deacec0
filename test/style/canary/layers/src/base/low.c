/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"
#include <llhttp.h>
#include <zlib.h>
