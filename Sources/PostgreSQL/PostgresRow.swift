/// One row of a result. Rows of one result share its storage.
package struct PostgresRow: Sendable {
    let table: ResultTable
    let row: Int

    /// The names of the columns, in order.
    package var columns: [String] { table.columns }

    /// Reads a column by name. Throws `.decode` if there is none or several of that name, or if its value does not fit.
    package func decode<Value: PostgresDecodable>(
        _ column: String, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
        guard let index = table.indexes[column] else {
            throw PostgresError(.decode, "No column '\(column)' in the result, but \(table.columns).")
        }
        guard index >= 0 else { throw PostgresError(.decode, "Several columns of the result are named '\(column)'.") }
        return try Value(postgres: table.cell(row: row, column: index))
    }

    /// Reads the column at `index`, counted from 0.
    package func decode<Value: PostgresDecodable>(
        at index: Int, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
        guard table.columns.indices.contains(index) else {
            throw PostgresError(.decode, "No column \(index) in a result of \(table.columns.count).")
        }
        return try Value(postgres: table.cell(row: row, column: index))
    }
}

/// All cells of one result, copied out of libpq into one buffer.
final class ResultTable: Sendable {
    let columns: [String]
    let indexes: [String: Int]  // -1: several columns have the name
    let rowCount: Int
    let affected: Int
    private let bytes: [UInt8]
    private let ends: [Int]  // where each cell ends in `bytes`, row after row; bitwise inverted if it is NULL

    static let empty = ResultTable(columns: [], rowCount: 0, affected: 0, bytes: [], ends: [])

    init(columns: [String], rowCount: Int, affected: Int, bytes: [UInt8], ends: [Int]) {
        precondition(ends.count == rowCount * columns.count, "a result has a cell for each row and column")
        self.columns = columns
        indexes = Dictionary(zip(columns, columns.indices)) { _, _ in -1 }
        self.rowCount = rowCount
        self.affected = affected
        self.bytes = bytes
        self.ends = ends
    }

    var rows: [PostgresRow] { (0..<rowCount).map { PostgresRow(table: self, row: $0) } }

    func cell(row: Int, column: Int) -> PostgresCell {
        let index = row * columns.count + column
        let end = ends[index]
        guard end >= 0 else { return PostgresCell(column: columns[column], bytes: nil) }
        let previous = index == 0 ? 0 : ends[index - 1]
        return PostgresCell(column: columns[column], bytes: bytes[(previous >= 0 ? previous : ~previous)..<end])
    }
}
