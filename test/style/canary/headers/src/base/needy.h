/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CANARY_NEEDY_H
#define CANARY_NEEDY_H
uint32_t needy_count(void);
#endif
