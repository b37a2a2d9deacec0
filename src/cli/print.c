/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - answers for people (tables) and programs (JSON). */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define CLI_CELL 64 /* bytes of a cell, with its NUL; longer values are cut */

const char *cli_text(const json *obj, const char *field)
{
    const json *v = cJSON_GetObjectItemCaseSensitive(obj, field);
    return cJSON_IsString(v) ? v->valuestring : "";
}

static void cli_cell(const json *obj, const char *field, char out[CLI_CELL])
{
    const json *v = cJSON_GetObjectItemCaseSensitive(obj, field);
    out[0] = '\0';
    if (cJSON_IsString(v))
        (void)snprintf(out, CLI_CELL, "%s", v->valuestring);
    else if (cJSON_IsNumber(v))
        (void)snprintf(out, CLI_CELL, "%.15g", v->valuedouble);
    for (char *p = out; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    if (out[0] == '\0')
        (void)snprintf(out, CLI_CELL, "-");
}

/* Columns on a terminal, not bytes: continuation bytes of UTF-8 take no room. */
static size_t cli_width(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static size_t cli_column_width(const json *array, const struct cli_column *column)
{
    char cell[CLI_CELL];
    const json *row = NULL;
    size_t width = strlen(column->heading);
    cJSON_ArrayForEach(row, array)
    {
        cli_cell(row, column->field, cell);
        width = MAX(width, cli_width(cell));
    }
    return width;
}

static void cli_print_cell(const char *text, size_t width, bool last)
{
    if (last)
        (void)puts(text);
    else
        (void)printf("%s%*s", text, (int)(width - cli_width(text)) + 2, "");
}

void cli_print_table(const json *array, const struct cli_column *columns, size_t n)
{
    size_t widths[16];
    char cell[CLI_CELL];
    const json *row = NULL;
    n = MIN(n, ARRAY_SIZE(widths));
    for (size_t i = 0; i < n; i++) {
        widths[i] = cli_column_width(array, &columns[i]);
        cli_print_cell(columns[i].heading, widths[i], i == n - 1);
    }
    cJSON_ArrayForEach(row, array)
    {
        for (size_t i = 0; i < n; i++) {
            cli_cell(row, columns[i].field, cell);
            cli_print_cell(cell, widths[i], i == n - 1);
        }
    }
}

void cli_print_field(const json *obj, const char *field)
{
    char cell[CLI_CELL];
    const json *value = cJSON_GetObjectItemCaseSensitive(obj, field);
    char *text = cJSON_IsObject(value) ? cJSON_PrintUnformatted(value) : NULL;
    if (text == NULL)
        cli_cell(obj, field, cell);
    if (text != NULL || cell[0] != '\0')
        (void)printf("%-12s %s\n", field, text != NULL ? text : cell);
    cJSON_free(text);
}

void cli_print_json(const json *j)
{
    char *text = cJSON_Print(j);
    if (text != NULL)
        (void)puts(text);
    cJSON_free(text);
}
