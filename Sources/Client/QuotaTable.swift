import Foundation

/// What a user may have and has.
package enum QuotaTable {
    /// A line for each measure. With `overrides` those that an admin has set for this user are marked.
    package static func text(_ quota: JSONValue, overrides: JSONValue? = nil, _ style: TextStyle) -> String {
        var table = TextTable(["QUOTA", "USED", "LIMIT"] + (overrides == nil ? [] : ["FROM"]))
        for measure in measures {
            let limit = quota["limits.\(measure.name)"]?.integer
            let used = quota["used.\(measure.used)"]?.integer ?? 0
            let reached = limit.map { used >= measure.scale * $0 } ?? false
            var row: [TextTable.Cell] = [
                TextTable.Cell(measure.title), TextTable.Cell(measure.show(used), reached ? .bad : .plain),
                TextTable.Cell(limit.map { measure.show(measure.scale * $0) } ?? "none"),
            ]
            if let overrides { row.append(TextTable.Cell(overrides[measure.name] == nil ? "tier" : "admin")) }
            table.add(row)
        }
        if let network = quota["limits.network"]?.text {
            var row: [TextTable.Cell] = [TextTable.Cell("network"), TextTable.Cell(""), TextTable.Cell(network)]
            if let overrides { row.append(TextTable.Cell(overrides["network"] == nil ? "tier" : "admin")) }
            table.add(row)
        }
        return table.text(style)
    }

    private struct Measure {
        let title: String
        let name: String
        let used: String  // the field of what is in use
        let scale: Int  // how many of its units are one of the limit's
        let show: @Sendable (Int) -> String

        init(
            _ title: String, _ name: String, used: String? = nil, scale: Int = 1,
            show: @escaping @Sendable (Int) -> String = { "\($0)" }
        ) {
            self.title = title
            self.name = name
            self.used = used ?? name
            self.scale = scale
            self.show = show
        }
    }

    private static let measures = [
        Measure("environments", "environments"), Measure("running", "runningEnvironments"), Measure("vCPU", "vcpus"),
        Measure("memory", "memoryMb", show: Quantity.megabytes), Measure("disk", "diskMb", show: Quantity.megabytes),
        Measure(
            "hours this month", "runtimeHours", used: "runtimeSeconds", scale: 3_600,
            show: { String(format: "%g", (Double($0) / 360).rounded() / 10) }),
    ]
}
