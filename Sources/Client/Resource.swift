import Foundation

/// A kind of thing of the API: where it is found, what answers call it, and how it is shown to people.
package struct Resource: Sendable {
    /// Where all of them are listed; one is at `path/NAME`.
    package let path: String
    /// The field of an answer that holds one.
    package let one: String
    /// The field of an answer that holds many.
    package let many: String
    /// The columns of a table of many.
    let columns: [Field]
    /// What is told of one, a line each.
    let details: [Field]

    package init(_ path: String, one: String, many: String, columns: [Field], details: [Field] = []) {
        self.path = path
        self.one = one
        self.many = many
        self.columns = columns
        self.details = details
    }

    /// Where one is found. Throws if the name can be none.
    package func path(of name: String) throws -> String { "\(path)/\(try APIClient.pathSegment(name))" }

    package func table(of values: [JSONValue], _ style: TextStyle) -> String {
        var table = TextTable(columns.map { $0.title.uppercased() })
        for value in values { table.add(columns.map { $0.cell(value, style) ?? "-" }) }
        return table.text(style)
    }

    /// What there is to tell of one, its titles in a column; what is not there is not mentioned.
    package func description(of value: JSONValue, _ style: TextStyle) -> String {
        let width = (details.map(\.title.count).max() ?? 0) + 2
        return details.compactMap { field in
            field.cell(value, style).map { cell in
                field.title.padding(toLength: width, withPad: " ", startingAt: 0)
                    + style.dressed(cell.text, cell.tone)
            }
        }.joined(separator: "\n")
    }
}

/// Something worth showing of a thing: a column of a table, a line of a description.
package struct Field: Sendable {
    let title: String
    let cell: @Sendable (JSONValue, TextStyle) -> TextTable.Cell?

    init(_ title: String, _ cell: @escaping @Sendable (JSONValue, TextStyle) -> TextTable.Cell?) {
        self.title = title
        self.cell = cell
    }

    /// A field made of several.
    static func of(_ title: String, _ text: @escaping @Sendable (JSONValue) -> String?) -> Field {
        Field(title) { value, _ in text(value).map { TextTable.Cell($0) } }
    }

    /// What stands at `path`; `title` is its name where nothing else is said.
    static func text(_ path: String, _ title: String? = nil) -> Field {
        .of(title ?? path) { $0[path]?.text }
    }

    /// A state, in its colour.
    static func state(_ path: String = "state", _ title: String? = nil) -> Field {
        Field(title ?? path) { value, _ in value[path]?.text.map { TextTable.Cell($0, Tone(state: $0)) } }
    }

    /// What went wrong.
    static func fault(_ path: String, _ title: String) -> Field {
        Field(title) { value, _ in value[path]?.text.map { TextTable.Cell($0, .bad) } }
    }

    /// How long ago a moment was.
    static func age(_ path: String, _ title: String) -> Field {
        moment(path, title) { Quantity.distance($0, from: $1) }
    }

    /// When it was, and how long ago.
    static func time(_ path: String, _ title: String) -> Field { moment(path, title) { Quantity.full($0, now: $1) } }

    private static func moment(
        _ path: String, _ title: String, _ text: @escaping @Sendable (Date, Date) -> String
    ) -> Field {
        Field(title) { value, style in
            value[path]?.text.map { given in
                TextTable.Cell(Quantity.moment(given).map { text($0, style.now) } ?? given)
            }
        }
    }

    /// A length in milliseconds.
    static func milliseconds(_ path: String, _ title: String) -> Field {
        .of(title) { $0[path]?.integer.map { Quantity.duration(seconds: Double($0) / 1_000) } }
    }

    /// The members of a list, with spaces between.
    static func list(_ path: String, _ title: String) -> Field {
        .of(title) { value in
            let members = value[path]?.values.compactMap(\.text) ?? []
            return members.isEmpty ? nil : members.joined(separator: " ")
        }
    }

    /// A machine's size, from `vcpus`, `memoryMb` and `diskMb` at `path`, or of the thing itself.
    static func size(_ title: String = "size", at path: String = "") -> Field {
        .of(title) { value in
            guard let size = path.isEmpty ? value : value[path], let vcpus = size["vcpus"]?.integer else { return nil }
            let parts = ["memoryMb", "diskMb"].compactMap { size[$0]?.integer.map(Quantity.megabytes) }
            return (["\(vcpus) vCPU"] + parts).joined(separator: ", ")
        }
    }
}
