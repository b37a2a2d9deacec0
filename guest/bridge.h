/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORRAL_AGENT_BRIDGE_H
#define CORRAL_AGENT_BRIDGE_H
struct bridge {
    int unused;
};
#endif
