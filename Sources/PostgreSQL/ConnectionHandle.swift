import CLibPQ
import EventLoop
import Logging

/// Owns one `PGconn *`. Not `Sendable`: libpq allows one thread at a time in a connection (libpq manual, "Behavior in
/// Threaded Programs"), so it lives in an actor whose executor is the loop's thread. Before it is connected and once
/// it is closed every call fails, as libpq takes a null connection for a bad one.
///
/// Connected, it is in pipeline mode and non-blocking: commands are queued, ``flush()`` writes, ``consume()`` reads,
/// and ``next()`` says what came, one piece at a time and in the order of the commands.
struct ConnectionHandle: ~Copyable {
    enum Polling { case ready, awaitReadable, awaitWritable }
    enum TransactionStatus { case idle, open, failed, unknown }
    enum Answer {
        case result(ResultTable)
        case failed(PostgresError)
        case skipped  // not executed: an earlier command of the same synchronised group failed
        case ended  // of one command, after its results
        case synchronised
    }

    private var raw: OpaquePointer?
    private let notices: NoticeLog?

    init() {
        raw = nil
        notices = nil
    }

    deinit { PQfinish(raw) }

    private init(adopting raw: OpaquePointer, logger: Logger) {
        let notices = NoticeLog(logger)
        self.raw = raw
        self.notices = notices
        // Unretained: `notices` lives as long as this value does, and nothing calls the processor after `PQfinish`.
        PQsetNoticeProcessor(
            raw,
            { context, text in
                guard let context, let text else { return }
                Unmanaged<NoticeLog>.fromOpaque(context).takeUnretainedValue().record(String(cString: text))
            }, Unmanaged.passUnretained(notices).toOpaque())
    }

    mutating func close() {
        PQfinish(raw)
        raw = nil
    }

    // MARK: Connecting

    /// Begins a connect. Host names must be resolved: see ``ConnectionTarget``.
    static func connecting(to options: [String: String], logger: Logger) throws(PostgresError) -> ConnectionHandle {
        let options = Array(options)
        let started = withCStringArray(options.map(\.key)) { keywords in
            withCStringArray(options.map(\.value)) { values in PQconnectStartParams(keywords, values, 0) }
        }
        guard let started else { throw PostgresError(.connectFailed, "libpq has no memory for a connection.") }
        let handle = ConnectionHandle(adopting: started, logger: logger)
        PQsetErrorVerbosity(started, PQERRORS_VERBOSE)  // the only way to the SQLSTATE of a refused connect
        if PQstatus(started) == CONNECTION_BAD { throw handle.connectFailure() }
        return handle
    }

    /// Goes on with the connect. The descriptor may be another after each call.
    mutating func advance() throws(PostgresError) -> Polling {
        switch PQconnectPoll(raw) {
        case PGRES_POLLING_OK:
            PQsetErrorVerbosity(raw, PQERRORS_DEFAULT)
            guard PQsetnonblocking(raw, 1) == 0, PQenterPipelineMode(raw) == 1 else { throw connectFailure() }
            return .ready
        case PGRES_POLLING_READING: return .awaitReadable
        case PGRES_POLLING_WRITING: return .awaitWritable
        default: throw connectFailure()
        }
    }

    var descriptor: Int32 { PQsocket(raw) }
    var backend: Int32 { PQbackendPID(raw) }

    func cancelToken() -> CancelToken? { PQgetCancel(raw).map(CancelToken.init) }

    // MARK: Commands

    mutating func prepare(_ text: String, as name: String) throws(PostgresError) {
        try require(PQsendPrepare(raw, name, text, 0, nil))
    }

    mutating func execute(prepared name: String, _ binds: [PostgresBind]) throws(PostgresError) {
        try require(
            withBinds(binds) { values, lengths, formats in
                PQsendQueryPrepared(raw, name, Int32(binds.count), values, lengths, formats, 0)
            })
    }

    /// One statement without parameters that is not kept prepared.
    mutating func execute(once text: String) throws(PostgresError) {
        try require(PQsendQueryParams(raw, text, 0, nil, nil, nil, nil, 0))
    }

    mutating func synchronise() throws(PostgresError) { try require(PQpipelineSync(raw)) }

    /// Any number of statements, by the simple protocol: answered by results and one `.ended`. Pipeline mode is left
    /// for it; call ``resumePipeline()`` after.
    mutating func script(_ text: String) throws(PostgresError) {
        try require(PQexitPipelineMode(raw))
        try require(PQsendQuery(raw, text))
    }

    var isPipelined: Bool { PQpipelineStatus(raw) != PQ_PIPELINE_OFF }

    mutating func resumePipeline() throws(PostgresError) { try require(PQenterPipelineMode(raw)) }

    // MARK: Input and output

    /// Writes what is queued; whether all went out. If not, wait until the descriptor is readable or writable, and
    /// read before writing again.
    mutating func flush() throws(PostgresError) -> Bool {
        let left = PQflush(raw)
        guard left >= 0 else { throw lost() }
        return left == 0
    }

    /// Reads what has arrived.
    mutating func consume() throws(PostgresError) {
        guard PQconsumeInput(raw) == 1 else { throw lost(lastWords()) }
    }

    /// What the server said before it hung up, if the end of file came together with it.
    private mutating func lastWords() -> PostgresError? {
        for _ in 0..<64 where PQisBusy(raw) == 0 {  // past answers of the same exchange, and the ends between them
            guard let result = PQgetResult(raw) else { continue }
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_FATAL_ERROR, PQresultErrorField(result, Int32(67)) != nil {
                return PostgresError(result: result)
            }
        }
        return nil
    }

    /// Whether ``next()`` would have to wait.
    var isWaiting: Bool { PQisBusy(raw) != 0 }

    /// The next answer, which must have arrived.
    mutating func next() throws(PostgresError) -> Answer {
        guard let result = PQgetResult(raw) else {
            guard PQstatus(raw) == CONNECTION_OK else { throw lost() }
            return .ended
        }
        defer { PQclear(result) }
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return .result(ResultTable(copying: result))
        case PGRES_PIPELINE_SYNC: return .synchronised
        case PGRES_PIPELINE_ABORTED: return .skipped
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            // Only ending the session gets out of it from here.
            throw PostgresError(.connectionLost, "COPY from or to the client is not offered: connection closed.")
        default:
            let error = PostgresError(result: result)
            guard PQstatus(raw) == CONNECTION_OK else { throw lost(error) }
            return .failed(error)
        }
    }

    var transactionStatus: TransactionStatus {
        switch PQtransactionStatus(raw) {
        case PQTRANS_IDLE: .idle
        case PQTRANS_INTRANS, PQTRANS_ACTIVE: .open
        case PQTRANS_INERROR: .failed
        default: .unknown
        }
    }

    /// A notification that has been read, if there is one.
    mutating func notification() -> PostgresNotification? {
        guard let raw = PQnotifies(raw) else { return nil }
        defer { PQfreemem(raw) }
        return PostgresNotification(
            channel: String(cString: raw.pointee.relname), payload: String(cString: raw.pointee.extra),
            backend: raw.pointee.be_pid)
    }

    // MARK: Errors

    private func require(_ code: Int32) throws(PostgresError) {
        guard code == 1 else { throw lost() }
    }

    private func lost(_ cause: PostgresError? = nil) -> PostgresError {
        let text = cause?.message ?? tidy(String(cString: PQerrorMessage(raw)))
        return PostgresError(.connectionLost, "Connection to PostgreSQL lost: \(text)", sqlState: cause?.sqlState)
    }

    /// Takes the SQLSTATE out of libpq's verbose text, "… FATAL:  28000: role … does not exist", and the place in the
    /// server's source, which nobody needs, off its end.
    private func connectFailure() -> PostgresError {
        var text = tidy(String(cString: PQerrorMessage(raw)))
        var sqlState: String?
        if let match = text.firstMatch(of: #/(: \S+: )([0-9A-Z]{5}): /#) {
            sqlState = String(match.2)
            text.replaceSubrange(match.range, with: match.1)
        }
        text.replace(#/ \S+: +\w+, \w+\.c:\d+/#, with: "")
        return PostgresError(.connectFailed, text, sqlState: sqlState)
    }
}

/// Asks the server to cancel what one connection executes.
///
/// `@unchecked Sendable`: `PQcancel` only reads the token, and may be called from any thread while the connection is
/// used in another (libpq manual, "Canceling Queries in Progress").
final class CancelToken: @unchecked Sendable {
    private let raw: OpaquePointer
    init(_ raw: OpaquePointer) { self.raw = raw }
    deinit { PQfreeCancel(raw) }

    /// Blocks until the server has taken the request and signalled the session, or refused. Whether it was taken.
    func cancel() -> Bool {
        var reason = [CChar](repeating: 0, count: 256)
        return PQcancel(raw, &reason, Int32(reason.count)) == 1
    }
}

/// Where NOTICE and WARNING messages of the server go.
private final class NoticeLog {
    private let logger: Logger
    init(_ logger: Logger) { self.logger = logger }
    func record(_ text: String) { logger.debug("PostgreSQL notice", metadata: ["notice": "\(tidy(text))"]) }
}

extension PostgresError {
    fileprivate init(result: OpaquePointer) {
        func field(_ code: Int) -> String? { PQresultErrorField(result, Int32(code)).map { String(cString: $0) } }
        let sqlState = field(67)  // PG_DIAG_SQLSTATE: 'C'
        let message = field(77) ?? tidy(String(cString: PQresultErrorMessage(result)))  // PRIMARY: 'M'
        let kind: Kind =
            switch sqlState {
            case "57014": .timeout  // query_canceled, and it was not us: statement_timeout, or an administrator
            case let state?: .server(sqlState: state)
            case nil: .connectionLost
            }
        self.init(
            kind, message.hasSuffix(".") ? message : message + ".", sqlState: sqlState, constraint: field(110),
            table: field(116), detail: field(68), hint: field(72))  // 'n', 't', 'D', 'H'
    }
}

extension ResultTable {
    fileprivate convenience init(copying result: OpaquePointer) {
        let rowCount = PQntuples(result)
        let columnCount = PQnfields(result)
        var size = 0
        for row in 0..<rowCount { for column in 0..<columnCount { size += Int(PQgetlength(result, row, column)) } }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size)
        var ends: [Int] = []
        ends.reserveCapacity(Int(rowCount) * Int(columnCount))
        for row in 0..<rowCount {
            for column in 0..<columnCount {
                if PQgetisnull(result, row, column) == 1 {
                    ends.append(~bytes.count)
                } else {
                    let length = Int(PQgetlength(result, row, column))
                    bytes.append(
                        contentsOf: UnsafeRawBufferPointer(start: PQgetvalue(result, row, column), count: length))
                    ends.append(bytes.count)
                }
            }
        }
        self.init(
            columns: (0..<columnCount).map { String(cString: PQfname(result, $0)) }, rowCount: Int(rowCount),
            affected: Int(String(cString: PQcmdTuples(result))) ?? 0, bytes: bytes, ends: ends)
    }
}

/// libpq's texts end in a newline and indent further lines by tabs: makes one line of it.
private func tidy(_ text: String) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
}

private func withCStringArray<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
) -> Result {
    withCells(strings.map { ($0.utf8CString.withUnsafeBytes { Array($0) }) as [UInt8]? } + [nil], body)
}

private func withBinds<Result>(
    _ binds: [PostgresBind],
    _ body: (UnsafePointer<UnsafePointer<CChar>?>?, [Int32], [Int32]) -> Result
) -> Result {
    var cells: [[UInt8]?] = []
    var lengths: [Int32] = []
    var formats: [Int32] = []
    for bind in binds {
        switch bind {
        case .null: cells.append(nil)
        case .text(let text): cells.append(Array(text.utf8) + [0])
        case .bytes(let bytes): cells.append(bytes + [0])
        }
        if case .bytes(let bytes) = bind {
            lengths.append(Int32(bytes.count))
            formats.append(1)
        } else {
            lengths.append(0)
            formats.append(0)
        }
    }
    return withCells(cells) { body($0, lengths, formats) }
}

/// Lends pointers to the cells, laid out one after another; nil is a null pointer.
private func withCells<Result>(
    _ cells: [[UInt8]?], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
) -> Result {
    let joined = cells.flatMap { $0 ?? [] }
    return joined.withUnsafeBytes { buffer in
        var offset = 0
        let pointers = cells.map { cell -> UnsafePointer<CChar>? in
            guard let cell, let base = buffer.baseAddress else { return nil }
            defer { offset += cell.count }
            return (base + offset).assumingMemoryBound(to: CChar.self)
        }
        return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}
