/* SPDX-License-Identifier: Apache-2.0 */
/* TODO: a placeholder */
/* stub */
static const char *here = "/work/main";
static const char *mirror = "https://pypi.org/simple";
