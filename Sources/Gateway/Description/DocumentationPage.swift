import Cryptography
import Fleet
import Foundation
import HTTPTypes

/// The routes as a page for people: one document, no script, nothing from elsewhere.
struct DocumentationPage {
    let routes: [Route]

    /// Admits the page's own style and nothing else.
    static let contentSecurityPolicy: String = {
        let digest = Data(SHA256.hash(style.utf8)).base64EncodedString()
        return "default-src 'none'; style-src 'sha256-\(digest)'; base-uri 'none'; form-action 'none'; "
            + "frame-ancestors 'none'"
    }()

    var html: String {
        let groups = RouteDescription.Group.allCases.map { group in
            (group, routes.filter { $0.description.group == group })
        }.filter { !$0.1.isEmpty }
        let contents = groups.map { group, routes in
            "<li><a href=\"#\(Self.anchor(group))\">\(group.rawValue)</a><ul>"
                + routes.map { route in
                    "<li><a href=\"#\(route.description.id)\">\(Self.escaped(route.description.summary))</a></li>"
                }.joined() + "</ul></li>"
        }.joined()
        let sections = groups.map { group, routes in
            "<section id=\"\(Self.anchor(group))\"><h2>\(group.rawValue)</h2>"
                + routes.map { article($0) }.joined() + "</section>"
        }.joined(separator: "\n")
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>Martlet: HTTP API</title>
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark"><style>\(Self.style)</style></head>
            <body><header><h1>Martlet HTTP API</h1>
            <p>JSON over HTTP/1.1. Every path under <code>/v1</code> wants
            <code>Authorization: Bearer mlt_…</code>. The same for programs:
            <a href="/openapi.json">openapi.json</a>.</p></header>
            <nav aria-label="Contents"><details><summary>Contents</summary><ul>\(contents)</ul></details></nav>
            <main>
            \(sections)
            </main></body></html>

            """
    }

    private func article(_ route: Route) -> String {
        let description = route.description
        var text = """
            <article id="\(description.id)"><h3><code><b>\(route.method.rawValue)</b> \(Self.escaped(route.path))</code></h3>
            <p>\(Self.text(description.summary)). \(Self.text(description.detail))\
            \(route.needsToken ? "" : " <em>No token.</em>")</p>
            """
        text += Self.table(
            "Parameters", ["name", "in", "is"],
            description.parameters.map { parameter in
                [
                    "<code>\(Self.escaped(parameter.name))</code>", parameter.place.rawValue,
                    Self.joined([Self.text(parameter.summary), Self.form(parameter.schema)]),
                ]
            })
        if case .json(let schema, let example, _) = description.body {
            text += Self.fields("Body", schema)
            text += "<pre>\(Self.escaped(example.text))</pre>"
        } else if case .bytes = description.body {
            text += "<p>The body is bytes, taken as they come.</p>"
        }
        text += Self.table(
            "Answers", ["status", "is", "media types"],
            description.answers.map { answer in
                [
                    String(answer.status.code), Self.text(answer.summary),
                    answer.contents.map { "<code>\($0.type)</code>" }.joined(separator: ", "),
                ]
            })
        if let content = description.answers.first?.contents.first { text += Self.fields("Answer", content.schema) }
        let errors = description.errors(needsToken: route.needsToken).sorted {
            ($0.status.code, $0.rawValue) < ($1.status.code, $1.rawValue)
        }
        text +=
            "<details><summary>Errors</summary><p>"
            + errors.map { "\($0.status.code) <code>\($0.rawValue)</code>" }.joined(separator: ", ")
            + "</p></details>"
        return text + "</article>\n"
    }

    // MARK: Schemas

    /// The fields of an object, one level of wrapping looked through.
    private static func fields(_ title: String, _ schema: JSONValue) -> String {
        let schema = resolved(schema)
        guard case .object(let properties)? = schema["properties"], !properties.isEmpty else { return "" }
        var required: Set<String> = []
        if case .array(let names)? = schema["required"] {
            for case .string(let name) in names { required.insert(name) }
        }
        var text = table(
            title, ["field", "is"],
            properties.map { name, value in
                let note = required.contains(name) ? "" : "optional"
                let value = resolved(value)
                var description = ""
                if case .string(let text)? = value["description"] { description = self.text(text) }
                return ["<code>\(escaped(name))</code>", joined([description, form(value), note])]
            })
        if properties.count == 1 {
            let inner = resolved(properties[0].1)
            text += fields("<code>\(escaped(properties[0].0))</code>", inner["items"] ?? inner)
        }
        return text
    }

    private static func resolved(_ schema: JSONValue) -> JSONValue {
        if case .array(let choices)? = schema["anyOf"], let first = choices.first, schema["description"] == nil {
            return resolved(first)
        }
        guard case .string(let path)? = schema["$ref"] else { return schema }
        let name = path.split(separator: "/").last.map(String.init)
        return Schemas.all.first { $0.0 == name }?.1 ?? schema
    }

    /// A schema in a few words.
    private static func form(_ schema: JSONValue) -> String {
        var words: [String] = []
        switch schema["type"] {
        case .string(let type): words.append(type)
        case .array(let types):
            for case .string(let type) in types { words.append(words.isEmpty ? type : "or \(type)") }
        default: break
        }
        if case .array(let choices)? = schema["oneOf"] {
            for case .string(let type) in choices.compactMap({ $0["type"] }) {
                words.append(words.isEmpty ? type : "or \(type)")
            }
        }
        if case .array(let values)? = schema["enum"] {
            let texts = values.compactMap {
                if case .string(let text) = $0 { "<code>\(escaped(text))</code>" } else { nil }
            }
            words = [texts.joined(separator: " ")]
        }
        if case .integer(let least)? = schema["minimum"] { words.append("from \(least)") }
        if case .integer(let most)? = schema["maximum"] { words.append("to \(most)") }
        return "<small>\(words.joined(separator: " "))</small>"
    }

    // MARK: HTML

    private static func table(_ title: String, _ head: [String], _ rows: [[String]]) -> String {
        guard !rows.isEmpty else { return "" }
        return "<table><caption>\(title)</caption><thead><tr>"
            + head.map { "<th scope=\"col\">\($0)</th>" }.joined() + "</tr></thead><tbody>"
            + rows.map { "<tr>" + $0.map { "<td>\($0)</td>" }.joined() + "</tr>" }.joined() + "</tbody></table>\n"
    }

    private static func joined(_ parts: [String]) -> String {
        parts.filter { !$0.isEmpty && $0 != "<small></small>" }.joined(separator: " · ")
    }

    /// Prose, with `code` in back ticks.
    private static func text(_ text: String) -> String {
        escaped(text).split(separator: "`", omittingEmptySubsequences: false).enumerated().map { index, part in
            index % 2 == 1 ? "<code>\(part)</code>" : String(part)
        }.joined()
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;")
    }

    private static func anchor(_ group: RouteDescription.Group) -> String {
        "group-" + group.rawValue.lowercased().replacing(" ", with: "-")
    }

    private static let style = """
        :root{color-scheme:light dark;--line:#8884;--soft:#8881;background:Canvas;color:CanvasText}
        body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:54rem;padding:1rem;overflow-wrap:anywhere}
        h1{font-size:1.6rem}h2{border-bottom:1px solid var(--line);margin-top:2.5rem}
        article{margin:1.5rem 0;padding:.25rem 1rem;border:1px solid var(--line);border-radius:.5rem}
        article:target{outline:2px solid currentColor}
        h3{font-size:1rem;margin:.75rem 0}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
        pre{background:var(--soft);padding:.75rem;border-radius:.375rem;white-space:pre-wrap}
        table{border-collapse:collapse;width:100%;margin:.75rem 0}caption{text-align:left;font-weight:600}
        th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-top:1px solid var(--line)}
        th,td:not(:last-child){overflow-wrap:break-word}th{font-weight:500;font-size:.85em;opacity:.75}summary{cursor:pointer}
        nav ul{padding-left:1.25rem}a{color:LinkText}
        """
}
