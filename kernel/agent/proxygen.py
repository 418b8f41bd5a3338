#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes both halves of the proxy from abi/heddle/*.h and proxy.rows.

    proxygen.py --rows proxy.rows --out DIR HEADER...

DIR/proxy_ids.h       numbers of services and operations
DIR/proxy_client.[ch] the agent's half: tables for drivers, and the dispatch of operations
DIR/proxy_server.[ch] the kernel's half: the dispatch of services, and a function for each operation
"""
import argparse
import os
import re
import sys

INTS = {  # C type: (getter, limits)
    'int32_t': ('wire_get_int', 'INT32_MIN, INT32_MAX'),
    'int64_t': ('wire_get_int', 'INT64_MIN, INT64_MAX'),
    'uint16_t': ('wire_get_uint', 'UINT16_MAX'),
    'uint32_t': ('wire_get_uint', 'UINT32_MAX'),
    'uint64_t': ('wire_get_uint', 'UINT64_MAX'),
}
WHERE = {'local', 'basic', 'remote', 'absent', 'op', 'forget'}
LICENCE = '/* SPDX-License-Identifier: GPL-3.0-or-later */\n/* Made by kernel/agent/proxygen.py: do not edit. */\n'


def fail(text):
    sys.exit('proxygen: ' + text)


# ---- reading the headers -------------------------------------------------------------------------------------

class Param:
    def __init__(self, ctype, name):
        self.ctype, self.name, self.kind, self.inout, self.optional = ctype, name, None, False, False


class Member:
    def __init__(self, table, name, ret, params):
        self.table, self.name, self.ret, self.params = table, name, ret, params
        self.pure = self.told = self.parts = False
        self.where, self.clean, self.cache = None, False, None

    @property
    def key(self):
        return self.table.short + '.' + self.name

    @property
    def ident(self):
        return self.table.short + '_' + self.name


class Table:
    def __init__(self, struct, short):
        self.struct, self.short, self.members = struct, short, []
        self.is_ops = short.endswith('_ops')


def split_param(text, i):
    text = ' '.join(text.split())
    m = re.match(r'^(.*?[\s*])(\w+)$', text)
    if m and not re.match(r'^(struct|const)$', m.group(2)) and not re.match(r'^(const )?struct$', m.group(1).strip()) \
            and text not in INTS:
        ctype, name = m.group(1).strip(), m.group(2)
    else:
        ctype, name = text, 'a%d' % i
    return Param(re.sub(r'\s*\*\s*', '*', ctype).replace('*', ' *', 1), name)


def parse_headers(paths):
    structs, tables = {}, []
    for path in paths:
        text = re.sub(r'/\*.*?\*/', ' ', open(path, encoding='utf-8').read(), flags=re.S)
        text = '\n'.join(l for l in text.split('\n') if not l.lstrip().startswith('#'))
        for m in re.finditer(r'struct (heddle_\w+)\s*\{(.*?)\n?\};?', text, flags=re.S):
            structs[m.group(1)] = m.group(2)
    for struct, body in structs.items():
        pointers = re.findall(r'([\w ]+?[\s*]+)\(\*(\w+)\)\s*\((.*?)\)\s*;', body, flags=re.S)
        short = re.sub(r'^heddle_', '', re.sub(r'_service$', '', struct))
        if not pointers or struct == 'heddle_driver':
            continue
        table = Table(struct, short)
        for ret, name, params in pointers:
            ret = re.sub(r'\s*\*\s*', ' *', ' '.join(ret.split())).strip()
            table.members.append(Member(table, name, ret,
                                        [split_param(p, i) for i, p in enumerate(params.split(','))]))
        tables.append(table)
    return structs, tables


def flat_fields(struct, body):
    """Members of a struct that may cross: (type, name, array length or None)."""
    fields = []
    for decl in body.split(';'):
        decl = ' '.join(decl.split())
        if not decl:
            continue
        m = re.match(r'^(struct heddle_slice|char|u?int\d+_t) (.*)$', decl)
        if not m:
            fail('%s: cannot cross: "%s"' % (struct, decl))
        for name in m.group(2).split(','):
            a = re.match(r'^\s*(\w+)(?:\[(\d+)\])?\s*$', name)
            if not a:
                fail('%s: cannot cross: "%s"' % (struct, decl))
            if a.group(1) not in ('struct_size', 'reserved'):
                fields.append((m.group(1), a.group(1), a.group(2)))
    return fields


# ---- what each parameter is ----------------------------------------------------------------------------------

def classify(member, structs):
    params, i = member.params, 0
    while i < len(params):
        p = params[i]
        t = p.ctype
        nxt = params[i + 1] if i + 1 < len(params) else None
        handle = re.match(r'^(const )?struct (heddle_\w+) (\*+)$', t)
        if t == 'struct heddle_call *':
            p.kind = 'call'
        elif t == 'const struct heddle_instance *':
            p.kind = 'instance'
        elif t == 'struct heddle_slice':
            p.kind = 'slice'
        elif t == 'struct heddle_slice *':
            p.kind = 'slice_out'
        elif t == 'const struct heddle_slice *':
            if not nxt or nxt.ctype != 'uint32_t':
                fail('%s: an array without its count' % member.key)
            p.kind, nxt.kind = 'slices', 'skip'
            i += 1
        elif t == 'const void *' and nxt and nxt.ctype == 'uint64_t':
            p.kind, nxt.kind = 'bytes', 'skip'
            i += 1
        elif t in INTS:
            p.kind = 'int'
        elif t.rstrip(' *') in INTS and t.endswith('*'):
            p.kind = 'int_out'
        elif t == 'void *' and member.table.is_ops:
            p.kind = 'inst' if p.name == 'inst' else 'own'
        elif t == 'void **' and member.table.is_ops:
            p.kind = 'own_out'
        elif handle and handle.group(2) not in structs:
            p.kind, p.struct = ('handle' if handle.group(3) == '*' else 'handle_out'), handle.group(2)
        elif handle and handle.group(3) == '*':
            p.kind, p.struct = ('struct' if handle.group(1) else 'struct_out'), handle.group(2)
        else:
            fail('%s: do not know how "%s" crosses' % (member.key, t))
        i += 1
    if member.ret not in ('int32_t', 'void'):
        fail('%s: a result of type %s cannot cross' % (member.key, member.ret))


def read_rows(path, tables):
    rows = {}
    for number, line in enumerate(open(path, encoding='utf-8'), 1):
        words = line.split('#')[0].split()
        if words:
            if len(words) < 2 or words[1] not in WHERE or words[0] in rows:
                fail('%s:%d: not a row' % (path, number))
            rows[words[0]] = words[1:]
    for table in tables:
        for member in table.members:
            row = rows.pop(member.key, None)
            if row is None:
                fail('%s: has no row in %s' % (member.key, path))
            member.where = row[0]
            if member.where in ('op', 'forget') != table.is_ops and table.is_ops != (member.where in ('op', 'forget')):
                fail('%s: an operation is "op" or "forget", a service neither' % member.key)
            for word in row[1:]:
                if word in ('clean', 'parts', 'pure', 'told'):
                    setattr(member, word, True)
                elif word.startswith('cache='):
                    member.cache = word[6:]
                elif word.startswith(('inout=', 'optional=')):
                    name = word.split('=')[1]
                    found = [p for i, p in enumerate(member.params) if name in (p.name, str(i))]
                    if not found:
                        fail('%s: no parameter %s' % (member.key, name))
                    setattr(found[0], word.split('=')[0], True)
                else:
                    fail('%s: "%s"?' % (member.key, word))
    if rows:
        fail('%s: nothing in the headers is called %s' % (path, ', '.join(rows)))


# ---- writing -------------------------------------------------------------------------------------------------

class Half:
    """How the two halves name what they do: the kernel's checks, the agent's believes."""

    def __init__(self, is_kernel, structs):
        self.is_kernel, self.structs, self.used = is_kernel, structs, {}
        self.ctx = 'struct exchange *x, ' if is_kernel else ''
        self.pass_ctx = 'x, ' if is_kernel else ''

    def put_slice(self, out, value):
        return ('exchange_put_slice(x, %s, %s)' if self.is_kernel else 'wire_put_slice(%s, %s)') % (out, value)

    def get_slice(self, inp):
        return ('exchange_get_slice(x, %s)' if self.is_kernel else 'wire_get_slice(%s)') % inp

    def put_handle(self, out, p, value):
        if self.is_kernel:
            return 'exchange_put_handle(x, %s, PROXY_H_%s, %s)' % (out, p.struct, value)
        return 'wire_put_u64(%s, (uint64_t)(uintptr_t)%s)' % (out, value)

    def get_handle(self, inp, p):
        if self.is_kernel:
            return 'exchange_get_handle(x, %s, PROXY_H_%s, %s)' % (inp, p.struct, 'true' if p.optional else 'false')
        return 'process_handle(%s)' % inp

    def put_struct(self, struct, out, value):
        self.used.setdefault(('put', struct))
        return 'put_%s(%s%s, %s)' % (struct, self.pass_ctx, out, value)

    def get_struct(self, struct, inp, value):
        self.used.setdefault(('get', struct))
        return 'get_%s(%s%s, %s)' % (struct, self.pass_ctx, inp, value)

    def codecs(self):
        text = ''
        for what, struct in sorted(self.used):
            fields = flat_fields(struct, self.structs[struct])
            const = 'const ' if what == 'put' else ''
            text += 'static void %s_%s(%sstruct wire_%s *w, %sstruct %s *v)\n{\n' % (
                what, struct, self.ctx, 'out' if what == 'put' else 'in', const, struct)
            if self.is_kernel and not any(t == 'struct heddle_slice' for t, _, _ in fields):
                text += '\t(void)x;\n'
            for ctype, name, length in fields:
                f = 'v->' + name
                if length:
                    line = 'wire_%s_chars(w, %s, sizeof %s)' % (what, f, f)
                elif ctype == 'struct heddle_slice':
                    line = self.put_slice('w', f) if what == 'put' else '%s = %s' % (f, self.get_slice('w'))
                elif what == 'put':
                    line = put_int('w', ctype, f)
                else:
                    line = '%s = %s' % (f, get_int('w', ctype))
                text += '\t%s;\n' % line
            text += '}\n\n'
        return text


def put_int(out, ctype, value):
    signed = '(int64_t)' if ctype.startswith('int') else ''
    return 'wire_put_u64(%s, (uint64_t)%s%s)' % (out, signed, value)


def get_int(inp, ctype):
    getter, limits = INTS[ctype]
    return '(%s)%s(%s, %s)' % (ctype, getter, inp, limits)


def declare(ret, name, params):
    shown = ', '.join(p.ctype + ('' if p.ctype.endswith('*') else ' ') + p.name for p in params)
    return '%s%s%s(%s)' % (ret, '' if ret.endswith('*') else ' ', name, shown or 'void')


def ask(half, member, out, bad):
    """Lines that encode a member's inputs; the caller is us."""
    lines = []
    for p, nxt in zip(member.params, member.params[1:] + [None]):
        k, n = p.kind, p.name
        if k == 'slice':
            lines.append(half.put_slice(out, n) + ';')
        elif k == 'slices':
            lines += ['wire_put_u64(%s, %s);' % (out, nxt.name),
                      'for (uint32_t i = 0; i < %s; i++)' % nxt.name, '\t' + half.put_slice(out, n + '[i]') + ';']
        elif k == 'bytes':
            lines.append(half.put_slice(out, 'heddle_bytes(%s, (size_t)%s, 0)' % (n, nxt.name)) + ';')
        elif k == 'int':
            lines.append(put_int(out, p.ctype, n) + ';')
        elif k == 'int_out' and p.inout:
            lines.append(put_int(out, p.ctype.rstrip(' *'), '*' + n) + ';')
        elif k == 'instance':
            lines.append('process_put_instance(&r, %s);' % n)
        elif k in ('handle', 'own'):
            lines.append((half.put_handle(out, p, n) if k == 'handle' else
                          'exchange_put_own(x, %s, %s)' % (out, n)) + ';')
        elif k == 'struct' or (k == 'struct_out' and p.inout):
            lines += ['struct %s in_%s;' % (p.struct, n),
                      'if (!wire_take_struct(&in_%s, sizeof in_%s, %s))' % (n, n, n), '\t' + bad,
                      half.put_struct(p.struct, out, '&in_' + n) + ';']
    return lines


def take_outs(half, member, inp):
    lines = []
    for p in member.params:
        k, n = p.kind, p.name
        if k == 'slice_out':
            lines.append('*%s = %s;' % (n, half.get_slice(inp)))
        elif k == 'int_out':
            lines.append('*%s = %s;' % (n, get_int(inp, p.ctype.rstrip(' *'))))
        elif k == 'handle_out':
            lines.append('*%s = %s;' % (n, half.get_handle(inp, p)))
        elif k == 'own_out':
            lines.append('*%s = exchange_get_own(x, %s);' % (n, inp))
        elif k == 'struct_out':
            lines += ['struct %s out_%s = {.struct_size = sizeof out_%s};' % (p.struct, n, n),
                      half.get_struct(p.struct, inp, '&out_' + n) + ';',
                      'wire_give_struct(%s, &out_%s, sizeof out_%s);' % (n, n, n)]
    return lines


def serve(half, member, inp, out):
    """(lines that decode the inputs, arguments, lines that encode the outputs); the caller is the other side."""
    lines, args, outs = [], [], []
    for p in member.params:
        k, n = p.kind, p.name
        const = 'const ' if p.ctype.startswith('const ') else ''
        if k == 'call':
            args.append('c')
        elif k == 'inst':
            args.append('o->inst')
        elif k == 'skip':
            continue
        elif k == 'slice':
            get = 'exchange_get_part(x, %s)' % inp if member.parts else half.get_slice(inp)
            lines.append('struct heddle_slice %s = %s;' % (n, get))
            args.append(n)
        elif k == 'slices':
            lines += ['uint32_t %s_count = 0;' % n,
                      'const struct heddle_slice *%s = exchange_get_slices(x, %s, &%s_count);' % (n, inp, n)]
            args += [n, n + '_count']
        elif k == 'bytes':
            lines.append('struct heddle_slice %s = %s;' % (n, half.get_slice(inp)))
            args += [n + '.ptr', n + '.len']
        elif k == 'int':
            lines.append('%s %s = %s;' % (p.ctype, n, get_int(inp, p.ctype)))
            args.append(n)
        elif k == 'instance':
            lines.append('const struct heddle_instance *%s = exchange_get_instance(x, %s);' % (n, inp))
            args.append(n)
        elif k == 'handle':
            lines.append('%sstruct %s *%s = %s;' % (const, p.struct, n, half.get_handle(inp, p)))
            args.append(n)
        elif k == 'own':
            get = 'process_forget_own' if member.where == 'forget' else 'process_get_own'
            lines.append('void *%s = %s(o, %s);' % (n, get, inp))
            args.append(n)
        elif k == 'struct':
            lines += ['struct %s %s = {.struct_size = sizeof %s};' % (p.struct, n, n),
                      half.get_struct(p.struct, inp, '&' + n) + ';']
            args.append('&' + n)
        elif k == 'slice_out':
            lines.append('struct heddle_slice %s = {NULL, 0, 0, 0};' % n)
            args.append('&' + n)
            outs.append(half.put_slice(out, n) + ';')
        elif k == 'int_out':
            t = p.ctype.rstrip(' *')
            lines.append('%s %s = %s;' % (t, n, get_int(inp, t) if p.inout else '0'))
            args.append('&' + n)
            outs.append(put_int(out, t, n) + ';')
        elif k == 'handle_out':
            lines.append('struct %s *%s = NULL;' % (p.struct, n))
            args.append('&' + n)
            outs.append(half.put_handle(out, p, n) + ';')
        elif k == 'own_out':
            lines.append('void *%s = NULL;' % n)
            args.append('&' + n)
            outs.append('process_put_own(o, %s, %s);' % (out, n))
        elif k == 'struct_out':
            lines.append('struct %s %s = {.struct_size = sizeof %s};' % (p.struct, n, n))
            if p.inout:
                lines.append(half.get_struct(p.struct, inp, '&' + n) + ';')
            args.append('&' + n)
            outs.append(half.put_struct(p.struct, out, '&' + n) + ';')
    return lines, args, outs


def block(lines, depth=1):
    return ''.join('\t' * depth + l + '\n' for l in lines)


def instance_of(m):
    return next(p.name for p in m.params if p.kind == 'instance')


def client_stub(half, m):
    call = m.params[0].name
    if m.ret == 'void':
        body = ['struct request r;', 'if (!process_ask(%s, &r))' % call, '\treturn;']
        body += ask(half, m, '&r.out', 'return;') + ['process_note(&r, PROXY_%s);' % m.ident]
    else:
        body = ['struct request r;', 'if (!process_ask(%s, &r))' % call, '\treturn HEDDLE_ERROR;']
        body += ask(half, m, '&r.out', 'return process_malformed(&r);')
        if m.told:
            body += ['if (r.out.bad)', '\treturn process_malformed(&r);', 'process_note(&r, PROXY_%s);' % m.ident,
                     'return HEDDLE_OK;']
            return 'static %s\n{\n%s}\n\n' % (declare(m.ret, 'ask_' + m.ident, m.params), block(body))
        if m.cache:
            body.append('int32_t result = process_exchange_cached(&r, PROXY_%s, %s, %s);' % (
                m.ident, instance_of(m), m.cache))
        else:
            body.append('int32_t result = process_exchange(&r, PROXY_%s);' % m.ident)
        outs = take_outs(half, m, '&r.in')
        if outs:
            body += ['if (result == HEDDLE_OK) {'] + ['\t' + l for l in outs] + ['}']
        body.append('return process_finish(&r, result);')
    return 'static %s\n{\n%s}\n\n' % (declare(m.ret, 'ask_' + m.ident, m.params), block(body))


def server_dispatch(half, m):
    lines, args, outs = serve(half, m, 'request', 'answer')
    table = '&x->call->services->host' if m.table.short == 'host' else 'x->call->services->' + m.table.short
    body = ['struct heddle_call *c = x->call;', 'const struct %s *t = %s;' % (m.table.struct, table)] + lines
    body += ['if (!exchange_ready(x, request, answer, t && t->%s))' % m.name, '\treturn;']
    call = 't->%s(%s)' % (m.name, ', '.join(args))
    if m.ret == 'void':
        body.append(call + ';')
    else:
        body += ['int32_t result = %s;' % call, 'exchange_put_result(x, answer, result);']
        if m.cache:
            body.append('exchange_note_constant(x, %s, %s);' % (instance_of(m), m.cache))
        if outs:
            body += ['if (result == HEDDLE_OK) {'] + ['\t' + l for l in outs] + ['}']
    return 'static void serve_%s(struct exchange *x, struct wire_in *request, struct wire_out *answer)\n{\n%s}\n\n' % (
        m.ident, block(body))


def kernel_op(half, m):
    params = [p for p in m.params if p.kind not in ('call', 'inst')]
    shown = [Param('struct exchange *', 'x')] + params
    body = ['struct wire_out *w = exchange_begin(x, PROXY_OP_%s);' % m.ident]
    body += ask(half, m, 'w', 'return HEDDLE_ERROR;')
    if not any('w, ' in l or '(w' in l for l in body[1:]):
        body[0] = '(void)exchange_begin(x, PROXY_OP_%s);' % m.ident
    body.append('int32_t result = exchange_run(x, %s);' % ('true' if m.clean else 'false'))
    outs = take_outs(half, m, '&x->in')
    if outs:
        body += ['if (result == HEDDLE_OK) {'] + ['\t' + l for l in outs] + ['}']
    body.append('return exchange_finish(x, result);')
    head = declare('int32_t', 'proxy_' + m.ident, shown)
    return head, '%s\n{\n%s}\n\n' % (head, block(body))


def agent_op(half, m):
    lines, args, outs = serve(half, m, 'o->in', '&o->out')
    body = ['const struct %s *t = o->ops;' % m.table.struct] + lines
    if 'c' in args:
        body.insert(0, 'struct heddle_call *c = o->call;')
    end = 'offsetof(struct %s, %s) + sizeof t->%s' % (m.table.struct, m.name, m.name)
    body += ['if (!process_op_ready(o, heddle_has(t, %s) && t->%s))' % (end, m.name), '\treturn;']
    call = 't->%s(%s)' % (m.name, ', '.join(args))
    if m.ret == 'void':
        body += [call + ';', 'process_op_result(o, HEDDLE_OK);']
    else:
        body += ['int32_t result = %s;' % call, 'process_op_result(o, result);']
        if outs:
            body += ['if (result == HEDDLE_OK) {'] + ['\t' + l for l in outs] + ['}']
    return 'static void op_%s(struct op *o)\n{\n%s}\n\n' % (m.ident, block(body))


def ids_header(services, ops, tables, handles):
    text = LICENCE + '#ifndef HEDDLE_PROXY_IDS_H\n#define HEDDLE_PROXY_IDS_H\n'
    text += 'enum {\n%s\tPROXY_SERVICES,\n};\n' % ''.join('\tPROXY_%s,\n' % m.ident for m in services)
    text += 'enum {\n%s\tPROXY_OPS,\n};\n' % ''.join('\tPROXY_OP_%s,\n' % m.ident for m in ops)
    text += 'enum {\n%s};\n' % ''.join('\tPROXY_H_%s%s,\n' % (h, ' = 1' if not i else '') for i, h in enumerate(handles))
    text += '/* which tables the kernel offers for an operation */\nenum {\n%s};\n' % ''.join(
        '\tPROXY_HAS_%s = 1 << %d,\n' % (t.short, i) for i, t in enumerate(tables))
    return text + '#endif\n'


def client_files(half, services, ops, tables):
    stubs = ''.join(client_stub(half, m) for m in services)
    dispatch = ''.join(agent_op(half, m) for m in ops)
    local, inits = '', ''
    for t in tables:
        offered = [m for m in t.members if m.where in ('local', 'remote')]
        for m in offered:
            if m.where == 'local':
                local += declare(m.ret, 'agent_' + m.ident, m.params) + ';\n'
        names = [(m.name, ('agent_' if m.where == 'local' else 'ask_') + m.ident) for m in offered]
        if t.short == 'host':
            inits += 'void proxy_client_host(struct heddle_host *h)\n{\n%s}\n\n' % block(
                ['h->%s = %s;' % n for n in names])
        elif offered:
            inits += 'const struct %s proxy_client_%s = {\n\t.struct_size = sizeof proxy_client_%s,\n%s};\n\n' % (
                t.struct, t.short, t.short, ''.join('\t.%s = %s,\n' % n for n in names))
    table = 'const proxy_op_fn proxy_ops[PROXY_OPS] = {\n%s};\n' % ''.join(
        '\t[PROXY_OP_%s] = op_%s,\n' % (m.ident, m.ident) for m in ops)
    header = LICENCE + '#ifndef HEDDLE_PROXY_CLIENT_H\n#define HEDDLE_PROXY_CLIENT_H\n#include "driver/call.h"\n' \
        '#include "proxy_ids.h"\n\nstruct op;\ntypedef void (*proxy_op_fn)(struct op *o);\n' \
        'extern const proxy_op_fn proxy_ops[PROXY_OPS];\n\n/* written by hand: what needs no kernel */\n' + local + \
        '\nvoid proxy_client_host(struct heddle_host *h);\n' + ''.join(
            'extern const struct %s proxy_client_%s;\n' % (t.struct, t.short) for t in tables
            if t.short != 'host' and any(m.where in ('local', 'remote') for m in t.members)) + '#endif\n'
    code = LICENCE + '#include "proxy_client.h"\n\n#include "agent/process.h"\n\n' + half.codecs() + stubs + inits + \
        dispatch + table
    return header, code


def is_told(m):
    return m.told or m.ret == 'void'


def server_files(half, services, ops, tables):
    code = ''.join(server_dispatch(half, m) for m in services)
    heads = ''
    for m in ops:
        head, body = kernel_op(half, m)
        heads += head + ';\n'
        code += body
    table = 'const proxy_service_fn proxy_services[PROXY_SERVICES] = {\n%s};\n' % ''.join(
        '\t[PROXY_%s] = serve_%s,\n' % (m.ident, m.ident) for m in services)
    table += 'const uint8_t proxy_kinds[PROXY_SERVICES] = {\n%s};\n' % ''.join(
        '\t[PROXY_%s] = PROXY_%s,\n' % (m.ident, 'PURE' if m.pure else 'TOLD') for m in services if m.pure or is_told(m))
    table += '\nuint32_t proxy_offered(const struct services *s)\n{\n\tuint32_t mask = PROXY_HAS_host;\n%s\treturn mask;\n}\n' \
        % ''.join('\tif (s->%s)\n\t\tmask |= PROXY_HAS_%s;\n' % (t.short, t.short) for t in tables
                  if t.short != 'host' and any(m.where == 'remote' for m in t.members))
    header = LICENCE + '#ifndef HEDDLE_PROXY_SERVER_H\n#define HEDDLE_PROXY_SERVER_H\n#include "driver/call.h"\n' \
        '#include "proxy_ids.h"\n\nstruct exchange;\nstruct wire_in;\nstruct wire_out;\n' \
        'typedef void (*proxy_service_fn)(struct exchange *x, struct wire_in *request, struct wire_out *answer);\n' \
        'extern const proxy_service_fn proxy_services[PROXY_SERVICES];\n' \
        '/* what may be answered before it is asked; what is not answered */\nenum { PROXY_PURE = 1, PROXY_TOLD };\n' \
        'extern const uint8_t proxy_kinds[PROXY_SERVICES];\nuint32_t proxy_offered(const struct services *s);\n\n' + heads + '#endif\n'
    return header, LICENCE + '#include "proxy_server.h"\n\n#include "agent/exchange.h"\n\n' + half.codecs() + code + table


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--rows', required=True)
    ap.add_argument('--out', required=True)
    ap.add_argument('headers', nargs='+')
    args = ap.parse_args()
    structs, tables = parse_headers(sorted(args.headers))
    read_rows(args.rows, tables)
    members = [m for t in tables for m in t.members]
    for m in members:
        if m.where in ('remote', 'op', 'forget'):
            classify(m, structs)
    services = [m for m in members if m.where == 'remote']
    ops = [m for m in members if m.where in ('op', 'forget')]
    for m in services:
        if m.pure and any(p.kind in ('handle_out', 'own_out') or p.inout for p in m.params):
            fail('%s: what gives handles or changes a place is not pure' % m.key)
        if m.told and take_outs(Half(False, structs), m, ''):
            fail('%s: what is only told gives nothing back' % m.key)
    handles = sorted({p.struct for m in services + ops for p in m.params if p.kind in ('handle', 'handle_out')})
    plain = [t for t in tables if not t.is_ops]
    agent, kernel = Half(False, structs), Half(True, structs)
    for m in services:  # a first round finds out which structs cross
        client_stub(agent, m), server_dispatch(kernel, m)
    for m in ops:
        agent_op(agent, m), kernel_op(kernel, m)
    client_h, client_c = client_files(agent, services, ops, plain)
    server_h, server_c = server_files(kernel, services, ops, plain)
    os.makedirs(args.out, exist_ok=True)
    for name, text in (('proxy_ids.h', ids_header(services, ops, plain, handles)), ('proxy_client.h', client_h),
                       ('proxy_client.c', client_c), ('proxy_server.h', server_h), ('proxy_server.c', server_c)):
        with open(os.path.join(args.out, name), 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    main()
