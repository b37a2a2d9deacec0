/* SPDX-License-Identifier: Apache-2.0 */
int  badly ( void ) {return 1;}
