#: {"about": "has itself started again by cron, at or systemd",
#:  "expect": {"lines": "blocked: "}}
tried=0
for program in crontab at batch systemctl systemd-run loginctl busctl; do
    command -v $program >/dev/null || continue
    tried=$((tried + 1))
    case $program in
    crontab) echo '* * * * * id' | timeout 2 crontab - 2>/dev/null && echo "THROUGH: crontab" ;;
    at | batch) echo id | timeout 2 $program now 2>/dev/null && echo "THROUGH: $program" ;;
    systemd-run) timeout 2 systemd-run id 2>/dev/null && echo "THROUGH: $program" ;;
    systemctl) timeout 2 systemctl restart ssh 2>/dev/null && echo "THROUGH: $program" ;;
    esac
done
echo "blocked: $tried programs"
