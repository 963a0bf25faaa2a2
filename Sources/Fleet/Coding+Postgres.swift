import PostgreSQL

// Identifiers travel as `uuid`, enumerations as the text of their raw value.
extension UserID: PostgresEncodable, PostgresDecodable {}
extension SSHKeyID: PostgresEncodable, PostgresDecodable {}
extension TokenID: PostgresEncodable, PostgresDecodable {}
extension EnvironmentID: PostgresEncodable, PostgresDecodable {}
extension ExecutionID: PostgresEncodable, PostgresDecodable {}
extension HostID: PostgresEncodable, PostgresDecodable {}
extension HostState: PostgresEncodable, PostgresDecodable {}
extension Slug: PostgresEncodable, PostgresDecodable {}
extension EnvironmentState: PostgresEncodable, PostgresDecodable {}
extension EnvironmentAction: PostgresEncodable, PostgresDecodable {}
extension Environment.Kind: PostgresEncodable, PostgresDecodable {}
extension NetworkPolicy: PostgresEncodable, PostgresDecodable {}
extension Tier: PostgresEncodable, PostgresDecodable {}
extension Caller.Role: PostgresEncodable, PostgresDecodable {}
extension AuditActor.Kind: PostgresEncodable, PostgresDecodable {}
extension ExecutionState: PostgresEncodable, PostgresDecodable {}
