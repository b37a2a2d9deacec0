/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recordings.h - one working set from those of several clones (vmm/workset.h says what is in one).
 *
 * A page that every clone wrote is one that the next will write; one that a single clone wrote is
 * an accident of that run, and a copy of it in each clone would be memory for nothing.
 */
#ifndef CORRAL_TEMPLATE_RECORDINGS_H
#define CORRAL_TEMPLATE_RECORDINGS_H

/* Makes DIR/NAME of DIR/NAME.0 to DIR/NAME.<n - 1>, which end with it: the written pages that all
 * have, and what the last one has touched. 0 or a negative errno. */
int template_recordings_join(const char *dir, const char *name, unsigned int n);

#endif
