/* SPDX-License-Identifier: Apache-2.0 */
static enum kind on_twice(int x,
                          int y)
{
    return x + y;
}

static int usage(int x)
{
    return x;
}

int api_two(int x)
{
    return on_twice(usage(x), x);
}
