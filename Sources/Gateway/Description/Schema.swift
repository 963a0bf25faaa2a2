/// The parts that JSON Schemas (2020-12, as OpenAPI 3.1 has them) are put together of.
enum Schema {
    static func string(
        _ description: String, length: ClosedRange<Int>? = nil, pattern: String? = nil, format: String? = nil,
        isNullable: Bool = false, example: JSONValue? = nil
    ) -> JSONValue {
        var fields = type("string", isNullable)
        if let format { fields.append(("format", .string(format))) }
        if let length {
            fields += [("minLength", .integer(length.lowerBound)), ("maxLength", .integer(length.upperBound))]
        }
        if let pattern { fields.append(("pattern", .string(pattern))) }
        return finished(fields, description, example)
    }

    static func integer(
        _ description: String, _ range: ClosedRange<Int>? = nil, from least: Int? = nil, isNullable: Bool = false,
        example: JSONValue? = nil
    ) -> JSONValue {
        var fields = type("integer", isNullable)
        if let least = range?.lowerBound ?? least { fields.append(("minimum", .integer(least))) }
        if let most = range?.upperBound { fields.append(("maximum", .integer(most))) }
        return finished(fields, description, example)
    }

    static func number(_ description: String, isNullable: Bool = false) -> JSONValue {
        finished(type("number", isNullable), description, nil)
    }

    static func boolean(_ description: String, isNullable: Bool = false) -> JSONValue {
        finished(type("boolean", isNullable), description, nil)
    }

    static func choice(_ description: String, _ values: [String], isNullable: Bool = false) -> JSONValue {
        var fields = type("string", isNullable)
        fields.append(("enum", .array(values.map { .string($0) } + (isNullable ? [.null] : []))))
        return finished(fields, description, nil)
    }

    static func choice<Value: CaseIterable & RawRepresentable<String>>(
        _ description: String, of type: Value.Type, isNullable: Bool = false
    ) -> JSONValue {
        choice(description, type.allCases.map(\.rawValue), isNullable: isNullable)
    }

    static func date(_ description: String, isNullable: Bool = false) -> JSONValue {
        string(description, format: "date-time", isNullable: isNullable)
    }

    static func id(_ description: String, isNullable: Bool = false) -> JSONValue {
        string(description, format: "uuid", isNullable: isNullable)
    }

    static func array(_ description: String, of items: JSONValue, most: Int? = nil, isNullable: Bool = false)
        -> JSONValue
    {
        var fields = type("array", isNullable)
        fields.append(("items", items))
        if let most { fields.append(("maxItems", .integer(most))) }
        return finished(fields, description, nil)
    }

    /// Any names, values of one form.
    static func map(
        _ description: String, of values: JSONValue, names: String? = nil, most: Int? = nil, isNullable: Bool = false
    ) -> JSONValue {
        var fields = type("object", isNullable)
        fields.append(("additionalProperties", values))
        if let names { fields.append(("propertyNames", ["pattern": .string(names)])) }
        if let most { fields.append(("maxProperties", .integer(most))) }
        return finished(fields, description, nil)
    }

    /// Exactly these fields: others are not sent by the server and refused by it.
    static func object(
        _ description: String, required: [String], isNullable: Bool = false,
        _ properties: KeyValuePairs<String, JSONValue>
    ) -> JSONValue {
        var fields = type("object", isNullable)
        fields += [
            ("required", .array(required.map { .string($0) })),
            ("properties", .object(properties.map { ($0.key, $0.value) })), ("additionalProperties", false),
        ]
        return finished(fields, description, nil)
    }

    /// As ``object(_:required:isNullable:_:)``, all fields required but those named.
    static func view(
        _ description: String, optional: Set<String> = [], _ properties: KeyValuePairs<String, JSONValue>
    ) -> JSONValue {
        object(description, required: properties.map(\.key).filter { !optional.contains($0) }, properties)
    }

    static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(name)")] }

    /// A value of exactly one of these forms.
    static func oneOf(_ description: String, _ forms: [JSONValue]) -> JSONValue {
        finished([("oneOf", .array(forms))], description, nil)
    }

    static func nullable(_ schema: JSONValue) -> JSONValue { ["anyOf": [schema, ["type": "null"]]] }

    private static func type(_ name: String, _ isNullable: Bool) -> [(String, JSONValue)] {
        [("type", isNullable ? [.string(name), "null"] : .string(name))]
    }

    private static func finished(
        _ fields: [(String, JSONValue)], _ description: String, _ example: JSONValue?
    ) -> JSONValue {
        var fields = fields
        if !description.isEmpty { fields.append(("description", .string(description))) }
        if let example { fields.append(("examples", [example])) }
        return .object(fields)
    }
}
