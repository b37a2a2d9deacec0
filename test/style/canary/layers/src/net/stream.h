/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CANARY_STREAM_H
#define CANARY_STREAM_H
#endif
