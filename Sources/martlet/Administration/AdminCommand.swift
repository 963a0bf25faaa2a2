import ArgumentParser

struct AdminCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "admin", abstract: "Look after users, VMs, hosts and jobs: for admins' tokens.",
        discussion: """
            Users and hosts are named by name or id, VMs by slug or id.

            Examples:
              martlet admin stats
              martlet admin users create ada --tier pro
              martlet admin users token create ada laptop
              martlet admin jobs list
              martlet admin jobs retry --all
              martlet admin hosts drain fc-1
            """,
        subcommands: [
            AdminStatsCommand.self, AdminUsersCommand.self, AdminVMsCommand.self, AdminHostsCommand.self,
            AdminQueuesCommand.self, AdminJobsCommand.self, AdminAuditCommand.self,
        ])
}
