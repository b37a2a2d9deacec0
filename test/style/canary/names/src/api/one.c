/* SPDX-License-Identifier: Apache-2.0 */
static int on_twice(int x)
{
    return x;
}

static int usage(int x)
{
    return x;
}

int api_one(int x)
{
    return on_twice(usage(x));
}
