procedure Broken is
begin
   Nothing;
end Broken;
