/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - the protocol between the server and the agent inside a sandbox (corral-wire(7)).
 *
 * One operation, one connection. The server connects (vsock port WIRE_AGENT_PORT, reached through
 * the sandbox's `vsock.sock` with the greeting "CONNECT <port>\n" / "OK <n>\n"), sends exactly one
 * request frame, and both sides then exchange the frames that the operation allows. Closing the
 * connection cancels the operation: the agent kills the tree of the command, interrupts the kernel
 * run, removes the partial file. Only an operation under KEEP outlives its connection.
 *
 * A frame is an 8-byte header and `length` bytes of payload. Integers are little-endian. A payload
 * is a fixed sequence of fields without padding:
 *
 *   u8 u16 u32 u64 i32 i64   the integer
 *   str                      u32 length, then that many bytes; no NUL inside unless noted
 *   list                     u32 count, then that many str
 *   raw                      the rest of the payload
 *
 * A receiver rejects a frame whose fields do not exactly fill its payload.
 *
 * Each end treats the other as hostile: a frame that is too long, has an unknown type or comes in
 * the wrong state ends the connection.
 */
#ifndef CORRAL_WIRE_H
#define CORRAL_WIRE_H

#include <stdint.h>

#define WIRE_VERSION    1u
#define WIRE_AGENT_PORT 1024u /* vsock port of the agent */

#define WIRE_HEADER_SIZE    8u
#define WIRE_CHUNK          65536u      /* most bytes in one STDOUT, STDERR, STDIN or DATA frame */
#define WIRE_READ_CHUNK     (1u << 20)  /* but in one DATA frame of READ */
#define WIRE_MAX_REQUEST    (2u << 20)  /* most payload bytes of a request the agent itself reads */
#define WIRE_MAX_PAYLOAD    (16u << 20) /* most payload bytes of any frame */
#define WIRE_MAX_LIST       4096u       /* most elements of a list */
#define WIRE_MAX_KEY        64u         /* most bytes of the key of a kept operation */
#define WIRE_MAX_KEEP       (1u << 20)  /* most bytes recorded of one kind of its output */
#define WIRE_MAX_ATTRIBUTES 16384u /* most bytes of the names and values of a file's attributes */

struct wire_header {
    uint32_t length;   /* payload bytes */
    uint16_t type;     /* enum wire_type */
    uint16_t reserved; /* zero; anything else is a protocol error */
};
_Static_assert(sizeof(struct wire_header) == WIRE_HEADER_SIZE, "wire header is 8 bytes");

enum wire_type {
    /* Requests: the first frame of a connection, server to agent. */
    WIRE_PING = 0x01,      /* -                                                    -> PONG */
    WIRE_CONFIGURE = 0x02, /* u64 wall clock ns (0: leave), str entropy, str hostname ("": leave),
                              list env "K=V", u32 flags (WIRE_CONFIGURE_*) -> CONFIGURED | ERROR */
    WIRE_CLOCK = 0x03,     /* u64 wall clock ns (0: leave)                         -> OK | ERROR */
    WIRE_TRUST = 0x04,     /* str certificate of an authority, PEM: programs of the sandbox are to
                              believe it                                           -> OK | ERROR */
    WIRE_EXEC = 0x10,      /* u32 flags (WIRE_EXEC_*), u32 timeout ms (0: none), str cwd ("": home),
                              str user ("": default user), list argv, list env "K=V"
                                                        -> STARTED (STDOUT|STDERR)* EXIT | ERROR */
    WIRE_KEEP = 0x12,      /* str key (1 to WIRE_MAX_KEY bytes), u32 bytes to record of each kind of
                              output (at most WIRE_MAX_KEEP); then the frame of an EXEC without
                              STDIN or of a CODE_RUN, with a time-out
                                                 -> KEPT, then what that request answers | ERROR */
    WIRE_ATTACH = 0x13,    /* str key   -> KEPT, then what was answered, from its beginning | ERROR
                              (NOT_FOUND: it never began; EXISTS: its record had to make room) */
    WIRE_FORGET = 0x14,    /* str key: ends the kept operation if it runs and drops its record; also
                              a later frame of KEEP and ATTACH  -> OK | ERROR */
    WIRE_READ = 0x20,      /* str path, u64 offset, u64 length (max: to the end); an offset with
                              WIRE_READ_LAST set is a count: that many bytes before the end
                                                                 -> STAT DATA* END | ERROR
                              (cut off in a DATA when the file shrinks below what it announces) */
    WIRE_WRITE = 0x21,     /* str path, u32 mode (0: 0644), u32 flags (WIRE_WRITE_*)
                              then DATA* END from the server     -> WRITTEN | ERROR
                              END may carry a str: the path to use instead of the request's, for a
                              client that names the path after the data */
    WIRE_LIST = 0x22,      /* str path                           -> ENTRY* END | ERROR */
    WIRE_REMOVE = 0x23,    /* str path, u32 flags (WIRE_REMOVE_*)  -> OK | ERROR */
    WIRE_MKDIR = 0x24, /* str path, u32 mode (0: 0755), u32 flags (WIRE_MKDIR_*)  -> OK | ERROR */
    WIRE_STAT_PATH = 0x25, /* str path                           -> STAT | ERROR */
    WIRE_INFO_PATH = 0x26, /* str path; a link is not followed    -> INFO | ERROR */
    WIRE_LIST_TREE = 0x27, /* str path, u32 depth (0: 1): the entries of a directory and of those
                              below it, each directory before what it holds
                                                                 -> INFO* END | ERROR */
    WIRE_MOVE = 0x28,      /* str source, str destination (the new path itself), u32 flags
                              (WIRE_TO_*)                        -> INFO of the new one | ERROR */
    WIRE_COPY = 0x29,      /* as MOVE                            -> INFO of the new one | ERROR */
    WIRE_CHMOD = 0x2a,     /* str path, u32 mode, u32 flags (WIRE_TREE_RECURSIVE)  -> OK | ERROR */
    WIRE_CHOWN = 0x2b,     /* str path, str user, str group ("": leave), each a name or a number,
                              u32 flags (WIRE_TREE_RECURSIVE)    -> OK | ERROR */
    WIRE_FIND = 0x2c,      /* str path (file or directory), str pattern, str glob ("": every file;
                              of a name, or with a slash of the path below the directory), u32 flags
                              (WIRE_FIND_*), u32 depth (0: any; 1: the directory itself), u32
                              most matches (0: WIRE_FIND_MATCHES)
                                                                 -> MATCH* FOUND | ERROR */
    WIRE_REPLACE = 0x2d,   /* str path, str pattern, str replacement ($1 to $9, $$ with
                              WIRE_FIND_REGEX), str glob, u32 flags (WIRE_FIND_*), u32 depth
                                                                 -> REPLACED* FOUND | ERROR */
    WIRE_WATCH = 0x2e,     /* str path of a directory or file, u32 flags (WIRE_TREE_RECURSIVE)
                              -> OK, then CHANGE* until the server closes | ERROR */
    WIRE_AS = 0x2f,   /* str user, a name or a number: no request itself, but what comes before one
                         of those above (0x20 to 0x2e). That is done with the user's rights, and
                         what it makes is the user's; relative paths start at the user's home
                                            -> what that request answers | ERROR (INVALID) */
    WIRE_PORT = 0x30, /* u16 TCP port on the sandbox's loopback
                         -> OK, then the connection carries raw bytes both ways | ERROR */
    WIRE_UNPACK = 0x31, /* str path of a directory, which is made if it is missing; then DATA*
                           END from the server: a tar archive, whose entries may not lead out of
                           the directory                      -> UNPACKED | ERROR */
    WIRE_PACK = 0x32,   /* str path of a directory: it as a tar archive, whose paths are relative
                           to it                              -> DATA* END | ERROR */

    /* Requests that the agent hands to the code bridge byte for byte, as it does the replies. */
    WIRE_CODE_FIRST = 0x40,
    WIRE_CODE_RUN = 0x40,       /* str context id ("": the default of the language), str language,
                                   str code, u32 timeout ms (0: none), list env "K=V"
                                   -> CODE_BEGUN
                                   (CODE_STREAM|CODE_RESULT|CODE_DISPLAY|CODE_ERROR)* CODE_DONE
                                    | ERROR; an older bridge sends no CODE_BEGUN */
    WIRE_CONTEXT_CREATE = 0x41, /* str id, str language, str cwd, u32 lifetime s
                                   -> CONTEXT | ERROR */
    WIRE_CONTEXT_GET = 0x42,    /* str id                        -> CONTEXT | ERROR */
    WIRE_CONTEXT_DELETE = 0x43, /* str id                        -> OK | ERROR */
    WIRE_CODE_ENV = 0x44,       /* list env "K=V", str seed: the variables are set in every running
                                   kernel, and a kernel to come has these; a seed that is not empty
                                   reseeds the user-space random generators of running kernels. The
                                   agent puts it before a request of the server's when the bridge
                                   does not have the last ones, and keeps the OK for itself: no
                                   kernel runs code of that or a later request without.
                                   -> OK | ERROR */
    WIRE_CODE_READY = 0x45,     /* -      answered once the warm kernels are up  -> OK | ERROR */
    WIRE_CONTEXT_LIST = 0x46,   /* - ; the default contexts too, whose id is ""
                                   -> CONTEXT* END | ERROR */
    WIRE_CONTEXT_INTERRUPT = 0x47, /* str id, str language (of a default context, id "")
                                      interrupts the run under way, if any; the state stays
                                      -> OK | ERROR */
    WIRE_CONTEXT_RESTART = 0x48,   /* str id, str language: ends the kernel and its state; the run
                                      under way ends as if the kernel had died, and waiting runs and
                                      later ones get a new kernel  -> OK | ERROR */
    WIRE_CODE_LAST = 0x4f,

    /* Processes live with the sandbox, not with a connection. A `which` names one: u64 id (0: by
     * what follows), u32 pid (0: by the tag), str tag (the newest that has it). */
    WIRE_PROCESS_START = 0x60,  /* u32 flags (WIRE_EXEC_*, WIRE_PROCESS_PTY), u32 timeout ms (0:
                                   none), str cwd ("": home), str user ("": default user), str tag,
                                   list argv, list env "K=V", u32 columns, u32 rows (of a terminal),
                                   u32 bytes of output to keep (0: WIRE_PROCESS_RING)
                                   -> PROCESS | ERROR */
    WIRE_PROCESS_LIST = 0x61,   /* -                             -> PROCESS* END */
    WIRE_PROCESS_ATTACH = 0x62, /* which, u64 sequence number of the first output wanted (0: the
                                   oldest that is kept; WIRE_SEQ_NOW: only what is still to come),
                                   u32 flags (WIRE_ATTACH_*)
                                   -> PROCESS (OUTPUT|GAP)* PROCESS_EXIT | ERROR
                                   STDIN, STDIN_EOF, SIGNAL and RESIZE are later frames */
    WIRE_PROCESS_INPUT = 0x63,  /* which, u32 flags (WIRE_INPUT_EOF), str bytes (NUL allowed)
                                   -> OK, once the bytes are in the pipe or terminal | ERROR */
    WIRE_PROCESS_SIGNAL = 0x64, /* which, u32 signal, u32 scope (enum wire_scope) -> OK | ERROR */
    WIRE_PROCESS_RESIZE = 0x65, /* which, u32 columns, u32 rows                  -> OK | ERROR */
    WIRE_PROCESS_FORGET = 0x66, /* which: ends it if it runs and drops what is kept of it
                                                                                 -> OK | ERROR */

    /* Later frames, server to agent. */
    WIRE_STDIN = 0x50,      /* raw, at most WIRE_CHUNK */
    WIRE_STDIN_EOF = 0x51,  /* - */
    WIRE_SIGNAL = 0x52,     /* u32 signal number, to the process group */
    WIRE_RESIZE = 0x53,     /* u32 columns, u32 rows: of the process's terminal */
    WIRE_ATTRIBUTES = 0x54, /* WRITE without APPEND, before an END that names no path: list
                               "name=value", extended attributes that the file gets, without the
                               "user." that all of them begin with */

    /* Replies, agent to server (DATA and END also server to agent, for WRITE and UNPACK). */
    WIRE_OK = 0x80,           /* - */
    WIRE_ERROR = 0x81,        /* u32 code (enum wire_error), str message; ends the operation */
    WIRE_PONG = 0x82,         /* u32 WIRE_VERSION, u64 agent uptime ms */
    WIRE_STARTED = 0x83,      /* u32 pid inside the sandbox */
    WIRE_EXIT = 0x84,         /* i32 exit code (128+n after signal n), u32 signal or 0,
                                 u32 cause (enum wire_cause), u64 duration us. After the last
                                 output byte. */
    WIRE_STAT = 0x85,         /* str name, str absolute path, u64 size, u32 kind (enum wire_kind),
                                 u32 mode, i64 mtime ns */
    WIRE_ENTRY = 0x86,        /* like STAT */
    WIRE_WRITTEN = 0x87,      /* str absolute path, u64 bytes */
    WIRE_KEPT = 0x88,         /* u64 us the operation has run, u32 ended 0|1 */
    WIRE_CONFIGURED = 0x89,   /* u64 us since the agent set the clock, 0: it cannot set one */
    WIRE_PROCESS = 0x8a,      /* u64 id, u32 pid, str tag, list argv, str cwd, u32 flags as started,
                                 i64 started, wall clock ms, u64 oldest sequence number that is kept,
                                 u64 next one, u32 ended 0|1; once it has ended the fields of EXIT;
                                 of a terminal u32 columns, u32 rows (not of older agents) */
    WIRE_PROCESS_EXIT = 0x8b, /* the fields of EXIT; after the last OUTPUT */
    WIRE_INFO = 0x8c,         /* like STAT, of a link itself; then u32 uid, u32 gid, str owner, str
                                 group (names, or the numbers), u32 kind of what a link leads to
                                 (0: no link, or it leads nowhere), str path it leads to ("": no
                                 link; its own text if it leads nowhere); if it has any: list of
                                 extended attributes, as in ATTRIBUTES, at most WIRE_MAX_ATTRIBUTES
                                 bytes of them */
    WIRE_STDOUT = 0x90,       /* raw, at most WIRE_CHUNK */
    WIRE_STDERR = 0x91,       /* raw, at most WIRE_CHUNK */
    WIRE_DATA = 0x92,         /* raw, at most WIRE_CHUNK; of READ at most WIRE_READ_CHUNK */
    WIRE_END = 0x93,          /* - (see WRITE for one exception) */
    WIRE_OUTPUT = 0x94,       /* u64 sequence number, u32 stream (enum wire_stream), raw, at most
                                 WIRE_CHUNK */
    WIRE_GAP = 0x95,          /* u64 the next sequence number: what came before it is lost */
    WIRE_MATCH = 0x96,        /* str absolute path, u64 line, u64 column, both from 1 and in bytes,
                                 str the line (NUL allowed), at most WIRE_FIND_TEXT bytes of it */
    WIRE_REPLACED = 0x97,     /* str absolute path, u64 replacements (more than 0) */
    WIRE_FOUND = 0x98,        /* u64 files that were searched, u64 matches or replacements, u32 1:
                                 the search ended at a limit of matches, bytes, time or depth */
    WIRE_CHANGE = 0x99,       /* u32 what (enum wire_change), u32 kind (enum wire_kind; 0: unknown),
                                 str path below the watched one ("": itself), str new path below it
                                 (RENAME: "" if it left the tree) */
    WIRE_UNPACKED = 0x9a,     /* u64 entries, u64 bytes of files */
    WIRE_CODE_STREAM = 0xa0,  /* u8 1 stdout | 2 stderr, i64 wall clock ms, str UTF-8 text */
    WIRE_CODE_RESULT = 0xa1,  /* u32 execution count, str JSON object mime type -> data */
    WIRE_CODE_DISPLAY = 0xa2, /* str JSON object mime type -> data */
    WIRE_CODE_ERROR = 0xa3,   /* str name, str value, str traceback */
    WIRE_CODE_DONE = 0xa4,  /* u32 status (enum wire_code_status), u32 execution count; of a kernel
                               that died also the fields of EXIT */
    WIRE_CONTEXT = 0xa5,    /* str id, str language, str cwd, str status ("active" | "busy"),
                               i64 created, i64 expires, i64 last used: wall clock ms */
    WIRE_CODE_BEGUN = 0xa6, /* u32 execution count: the kernel has taken the code */
};

#define WIRE_CONFIGURE_OFFLINE 0x1u /* the sandbox loses its network interface */
#define WIRE_CONFIGURE_KEEP                                                                        \
    0x2u /* it wakes up as what it was: the variables, its ids and the generators of kernels stay, \
            and the entropy is for the guest's kernel */
#define WIRE_CONFIGURE_RESEED                                                                      \
    0x4u /* with KEEP: it was this before, so kernels' generators change */
#define WIRE_CONFIGURE_AFRESH                                                                      \
    0x8u /* without KEEP: it has the files of what it was, and none of the processes. Agents that  \
            do not know it refuse it */

#define WIRE_EXEC_SHELL 0x1u /* argv has one element, a command line for `bash -c` (or sh) */
#define WIRE_EXEC_STDIN 0x2u /* stdin is fed by STDIN frames; otherwise it is /dev/null */

#define WIRE_PROCESS_PTY  0x4u        /* a terminal for stdin, stdout and stderr */
#define WIRE_PROCESS_RING (16u << 20) /* most and usual bytes of output kept of a process */
#define WIRE_MAX_TAG      256u        /* bytes */
#define WIRE_SEQ_NOW      UINT64_MAX  /* a sequence number */
#define WIRE_ATTACH_OWN                                                                            \
    0x1u                    /* the process ends with this connection, and waits when its output is \
                               not read: a foreground run */
#define WIRE_INPUT_EOF 0x1u /* nothing more follows on stdin */

#define WIRE_READ_LAST        (1ull << 63)
#define WIRE_WRITE_PARENTS    0x1u /* create missing parent directories */
#define WIRE_WRITE_APPEND     0x2u /* the bytes come behind those that are there */
#define WIRE_MKDIR_PARENTS    0x1u /* create missing parents, an existing directory is fine */
#define WIRE_REMOVE_RECURSIVE 0x1u /* a directory goes with its contents */
#define WIRE_TO_OVERWRITE     0x1u /* what is at the destination goes, unless it is a directory */
#define WIRE_TO_PARENTS       0x2u /* create missing parent directories */
#define WIRE_TO_RECURSIVE     0x4u /* COPY: a directory with its contents */
#define WIRE_TREE_RECURSIVE   0x1u /* a directory and everything below it */
#define WIRE_FIND_REGEX       0x1u /* POSIX extended; otherwise the bytes themselves */
#define WIRE_FIND_NO_CASE     0x2u
#define WIRE_FIND_HIDDEN      0x4u /* also names that begin with a dot */
#define WIRE_FIND_DRY_RUN     0x8u /* REPLACE: counts and changes nothing */
#define WIRE_FIND_MATCHES     1000u
#define WIRE_FIND_TEXT        1024u
#define WIRE_MAX_PATTERN      4096u /* bytes of a pattern, and of a glob */

/* The numbers are part of the protocol: only append. */
enum wire_error {
    WIRE_E_PROTOCOL = 1,
    WIRE_E_INVALID = 2, /* bad argument: path with NUL, empty argv, ... */
    WIRE_E_NOT_FOUND = 3,
    WIRE_E_PERMISSION = 4,
    WIRE_E_IS_DIRECTORY = 5,
    WIRE_E_NOT_DIRECTORY = 6,
    WIRE_E_EXISTS = 7,
    WIRE_E_NO_SPACE = 8,
    WIRE_E_TOO_LARGE = 9,
    WIRE_E_BUSY = 10,        /* a limit on concurrent work is reached */
    WIRE_E_UNAVAILABLE = 11, /* nothing listens on the port, the bridge is not running */
    WIRE_E_CONTEXT = 12,     /* no such context */
    WIRE_E_LANGUAGE = 13,    /* no kernel for this language */
    WIRE_E_INTERNAL = 14,
    WIRE_E_USER = 15, /* no such user */
    WIRE_E_LAST = WIRE_E_USER,
};

/* Why a process ended. */
enum wire_cause {
    WIRE_CAUSE_ITSELF = 0,
    WIRE_CAUSE_TIMED_OUT = 1,
    WIRE_CAUSE_MEMORY = 2, /* killed by the memory limit */
    WIRE_CAUSE_KILLED = 3, /* by SIGNAL, FORGET, or its own connection's end */
};

enum wire_stream { WIRE_STREAM_STDOUT = 1, WIRE_STREAM_STDERR = 2, WIRE_STREAM_PTY = 3 };

/* Whom a signal is for. */
enum wire_scope { WIRE_SCOPE_PROCESS = 1, WIRE_SCOPE_GROUP = 2, WIRE_SCOPE_TREE = 3 };

enum wire_change {
    WIRE_CHANGE_CREATE = 1,
    WIRE_CHANGE_WRITE = 2,
    WIRE_CHANGE_REMOVE = 3,
    WIRE_CHANGE_RENAME = 4,
    WIRE_CHANGE_CHMOD = 5,
    WIRE_CHANGE_OVERFLOW = 6, /* changes were lost here */
};

enum wire_kind {
    WIRE_KIND_FILE = 1,
    WIRE_KIND_DIRECTORY = 2,
    WIRE_KIND_SYMLINK = 3,
    WIRE_KIND_OTHER = 4,
};

enum wire_code_status {
    WIRE_CODE_OK = 0,
    WIRE_CODE_RAISED = 1,      /* a CODE_ERROR frame came before */
    WIRE_CODE_TIMED_OUT = 2,   /* interrupted; the kernel keeps its state */
    WIRE_CODE_RESTARTED = 3,   /* the interrupt was ignored: the kernel was restarted */
    WIRE_CODE_KERNEL_DIED = 4, /* the kernel died during the run; the next run starts a new one */
};

#endif
