/* SPDX-License-Identifier: Apache-2.0 */
/* Another program: this name is its own. */
int api_one(int x)
{
    return x;
}
