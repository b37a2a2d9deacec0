// SPDX-License-Identifier: Apache-2.0
//
// Changes code so that V8's REPL mode takes it: TypeScript becomes JavaScript (types are dropped,
// not checked), and import and export, which only modules have, become declarations.
"use strict";
const vm = require("vm");

const { load } = require("./packages");

let loaded = null; // large: most JavaScript never needs it

function typescript() {
    loaded ??= load("typescript");
    return loaded;
}

function prepare(code, language, name) {
    if (language === "typescript") {
        return transpile(withoutModules(code, name), name);
    }
    if (/\b(import|export)\b/.test(code)) {
        return withoutModules(code, name);
    }
    return isObject(code) ? `(${code.trim()})` : code;
}

// {a: 1} alone is meant as a value, not as a block.
function isObject(code) {
    if (!/^\s*\{[^]*\}\s*$/.test(code)) {
        return false;
    }
    try {
        new vm.Script(`(${code.trim()})`);
        return true;
    } catch {
        return false;
    }
}

function transpile(code, name) {
    const ts = typescript();
    const { outputText, diagnostics } = ts.transpileModule(code, {
        fileName: name,
        reportDiagnostics: true,
        compilerOptions: {
            target: ts.ScriptTarget.ES2022,
            module: ts.ModuleKind.ESNext,
            moduleDetection: ts.ModuleDetectionKind.Force,
            verbatimModuleSyntax: true,
            experimentalDecorators: true,
        },
    });
    if (diagnostics.length > 0) {
        throw syntaxError(ts, diagnostics[0], code, name);
    }
    return outputText.replace(/\bexport \{\};\s*$/, "");
}

function syntaxError(ts, diagnostic, code, name) {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
    const fault = new SyntaxError(message);
    const before = code.slice(0, diagnostic.start ?? 0).split("\n");
    const column = before[before.length - 1].length;
    const line = code.split("\n")[before.length - 1];
    const at = `${name}:${before.length}:${column + 1}`;
    const traceback = `${at}\n${line}\n${" ".repeat(column)}^\nSyntaxError: ${message}`;
    Object.defineProperty(fault, "traceback", { value: traceback });
    return fault;
}

// Each piece is replaced by one with as many lines, so that the line numbers of errors stay right.
function withoutModules(code, name) {
    const ts = typescript();
    const kind = name.endsWith(".ts") ? ts.ScriptKind.TS : ts.ScriptKind.JS;
    const file = ts.createSourceFile(name, code, ts.ScriptTarget.ES2022, true, kind);
    const edits = [];
    const edit = (start, end, text) => edits.push({ start, end, text });
    file.statements.forEach((statement) => editStatement(ts, statement, edit));
    editImports(ts, file, edit);
    edits.sort((a, b) => b.start - a.start);
    for (const { start, end, text } of edits) {
        const lines = code.slice(start, end).split("\n").length - 1;
        code = code.slice(0, start) + text + "\n".repeat(lines) + code.slice(end);
    }
    return code;
}

function editStatement(ts, node, edit) {
    const whole = (text) => edit(node.getStart(), node.end, text);
    if (ts.isImportDeclaration(node)) {
        whole(importText(ts, node));
    } else if (ts.isImportEqualsDeclaration(node) && node.moduleReference.expression) {
        const from = node.moduleReference.expression.getText();
        whole(node.isTypeOnly ? "" : `const ${node.name.text} = require(${from});`);
    } else if (ts.isExportDeclaration(node)) {
        whole("");
    } else if (ts.isExportAssignment(node)) {
        edit(node.getStart(), node.expression.getStart(), "");
    } else {
        for (const modifier of node.modifiers ?? []) {
            const { kind } = modifier;
            if (kind === ts.SyntaxKind.ExportKeyword || kind === ts.SyntaxKind.DefaultKeyword) {
                edit(modifier.getStart(), modifier.end, "");
            }
        }
    }
}

function importText(ts, { importClause: clause, moduleSpecifier }) {
    const from = `await __import__(${moduleSpecifier.getText()})`;
    if (clause === undefined) {
        return `${from};`;
    }
    if (clause.isTypeOnly) {
        return "";
    }
    const names = clause.name ? [`default: ${clause.name.text}`] : [];
    const bindings = clause.namedBindings;
    if (bindings && ts.isNamespaceImport(bindings)) {
        const space = bindings.name.text;
        const rest = names.length ? ` const { ${names[0]} } = ${space};` : "";
        return `const ${space} = ${from};${rest}`;
    }
    for (const element of bindings?.elements.filter((each) => !each.isTypeOnly) ?? []) {
        const { name, propertyName } = element;
        names.push(propertyName ? `${propertyName.getText()}: ${name.text}` : name.text);
    }
    return `const { ${names.join(", ")} } = ${from};`;
}

// import("x") and import.meta, wherever they are.
function editImports(ts, file, edit) {
    const visit = (node) => {
        if (node.kind === ts.SyntaxKind.ImportKeyword && ts.isCallExpression(node.parent)) {
            edit(node.getStart(), node.end, "__import__");
        } else if (ts.isMetaProperty(node) && node.getText() === "import.meta") {
            edit(node.getStart(), node.end, "__import__.meta");
        }
        ts.forEachChild(node, visit);
    };
    visit(file);
}

exports.prepare = prepare;
